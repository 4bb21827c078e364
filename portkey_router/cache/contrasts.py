"""Words that exclude one another, by hand: opposites, and members of small closed sets.

A line is an axis; `|` parts its poles, and a pole is every word for it. Two questions differ where both say something
on an axis, and not the same. `_` joins words that count as one.
"""

from __future__ import annotations

from portkey_router.cache.words import stem

__all__ = ["OPPOSITES", "POLES", "Pole", "prefixed"]

Pole = tuple[int, int]  # (axis, its pole)

_LINES = """
enable activate | disable deactivate
increase raise grow gain rise climb | decrease reduce lower lose drop fall decline shrink
maximum max maximal most | minimum min minimal least fewest
maximise maximize | minimise minimize
high | low
higher | lower
highest | lowest
tall taller tallest | short shorter shortest
big large bigger larger biggest largest | small little tiny smaller smallest
long longer longest lengthen | brief shorten shorter short shortest
open | close shut
start begin launch | stop end finish quit terminate halt
first | last final
oldest older old ancient | newest newer new young younger youngest modern
old elderly | young
early earlier earliest | late later latest
fast faster fastest quick quicker quickest | slow slower slowest
hot hotter hottest warm warmer heat | cold colder coldest cool cooler chill freeze
cheap cheaper cheapest inexpensive | expensive costly dear priciest pricier
good better best benefit advantage pro strength positive | bad worse worst drawback disadvantage con weakness negative
safe safer safest | dangerous unsafe hazardous risky
rich wealthy | poor
strong stronger strongest strengthen | weak weaker weakest weaken
hard difficult harder hardest | easy simple easier easiest
heavy heavier heaviest | light lighter lightest
dark darker darkest | light bright brighter brightest
deep deeper deepest | shallow shallower
wide wider widest broad widen | narrow narrower narrowest
thick thicker thickest thicken | thin thinner thinnest
near nearer nearest close closest nearby | far farther farthest further furthest
full fill | empty drain
wet moist | dry arid
clean | dirty
loud louder loudest noisy | quiet quieter silent silence
hard harden | soft soften
rough | smooth
sharp | blunt dull
sweet | sour bitter salty
contain have with | lack
liable subject | exempt
tighten tight tighter | loosen loose looser
sum | difference
boom | crash
alive live living | dead die
same identical | different
true | false
right correct | wrong incorrect
work working | broken
possible | impossible
available | unavailable
happy | unhappy
allow permit | forbid
left | right
top | bottom
front | back rear
inside inner interior internal indoor | outside outer exterior external outdoor
up upward | down downward
above | below beneath underneath
over | under
on | off
before prior | after following
north northern | south southern | east eastern | west western
rise | set
day daytime morning noon afternoon | night evening midnight
import | export
upload | download
push | pull
send | receive
give lend | take borrow
lender creditor | borrower debtor
buy purchase buyer | sell sale seller
deposit | withdraw
credit | debit
pay spend | earn
income revenue profit | expense cost loss
profit | loss
asset | liability
supply | demand
win won victory winner | lose lost defeat loser
pass | fail
accept approve allow permit confirm | reject deny decline forbid prohibit ban block refuse
include | exclude
add insert append | remove delete subtract
create make build | delete destroy remove demolish
save | delete discard
show display reveal visible | hide hidden conceal invisible
lock | unlock
connect attach join link | disconnect detach separate unlink
install | uninstall
freeze | unfreeze thaw
zip compress | unzip decompress extract
encrypt encode | decrypt decode
mute | unmute
follow | unfollow
subscribe | unsubscribe
log_in login sign_in | log_out logout sign_out log_off sign_off
check_in | check_out checkout
zoom_in | zoom_out
opt_in | opt_out
enter arrive entrance entry arrival | leave exit depart departure
push | pop
ascend ascending | descend descending
expand extend | shrink contract collapse
inhale | exhale
absorb | release emit
attack offense offensive | defend defense defence defensive
love like enjoy favourite favorite | hate dislike despise
remember | forget
agree agreement support | disagree disagreement oppose against
cause | effect consequence result
question ask | answer reply
problem | solution solve
teacher teach | student learn
employer hire | employee fire dismiss
parent mother father | child son daughter
mother mum mom | father dad
son boy | daughter girl
brother | sister
uncle | aunt
king | queen
husband | wife
man male masculine men he him his himself | woman female feminine women she her hers herself
buyer | seller
host | guest
client | server
sender | recipient receiver
doctor | patient
landlord | tenant
predator | prey
optimist optimistic | pessimist pessimistic
hero | villain
friend ally | enemy foe
public | private
global | local
domestic national | foreign international
urban city | rural countryside
natural | artificial
raw | cooked
fresh | stale rotten
major | minor
majority | minority
singular | plural
odd | even
upper | lower
uppercase | lowercase
vertical | horizontal
clockwise | counterclockwise anticlockwise
forward | backward backwards
single | married divorced
permanent | temporary
manual manually | automatic automatically auto
active | passive inactive
online | offline
sync synchronous | async asynchronous
input | output
encode | decode
read | write
synonym | antonym
prefix | suffix
noun | verb | adjective | adverb
numerator | denominator
acid acidic | alkaline base
solid | liquid | gas
plant | animal
fact | opinion
war | peace
success succeed | failure fail
common | rare
always | never | sometimes
all every everyone everybody | none nobody some
more | less fewer
many | few
both | neither either
gross | net
wholesale | retail
introvert | extrovert
innocent | guilty
guilty | not_guilty
today | yesterday | tomorrow
past | present | future
previous | next
spring springtime | summer | autumn | winter
breakfast | lunch | dinner
january | february | april | june | july | august | september | october | november | december
monday | tuesday | wednesday | thursday | friday | saturday | sunday
red | blue | green | yellow | black | white | brown | purple | pink | orange | grey gray
how_long | how_much | how_many | how_often | how_far | how_old | how_tall | how_fast | how_big | how_soon | how_deep
"""

# Prefixes that turn a word into its opposite, alone and in exchange: safe/unsafe, include/exclude.
_NEGATING = ("un", "in", "im", "il", "ir", "dis", "non", "de", "anti", "mis", "a", "counter")
_EXCHANGED = (
    ("in", "ex"),
    ("im", "ex"),
    ("in", "out"),
    ("in", "de"),
    ("up", "down"),
    ("over", "under"),
    ("pre", "post"),
    ("en", "dis"),
    ("as", "des"),
    ("max", "min"),
    ("hyper", "hypo"),
    ("macro", "micro"),
    ("on", "off"),
    ("homo", "hetero"),
    ("intra", "inter"),
    ("fore", "back"),
    ("sub", "super"),
)
_SHORTEST_REST = 3


_AXES = _LINES.strip().splitlines()


def _poles() -> dict[str, tuple[Pole, ...]]:
    found: dict[str, tuple[Pole, ...]] = {}
    for axis, line in enumerate(_AXES):
        for pole, words in enumerate(line.split("|")):
            for word in words.split():
                found[stem(word)] = (*found.get(stem(word), ()), (axis, pole))
    return found


POLES = _poles()
# Axes of two poles: opposites. The others are closed sets.
OPPOSITES = frozenset(axis for axis, line in enumerate(_AXES) if line.count("|") == 1)


def prefixed(one: str, other: str) -> bool:
    """Whether two words are opposites by their beginnings (`lock` and `unlock`) or ends (`useful` and `useless`)."""
    short, long = sorted((one, other), key=len)
    if long.endswith(short) and len(short) >= _SHORTEST_REST and long[: -len(short)].rstrip("-") in _NEGATING:
        return True
    for here, there in _EXCHANGED:
        for first, second in ((one, other), (other, one)):
            if first.startswith(here) and second.startswith(there):
                rest = first[len(here) :]
                if len(rest) >= _SHORTEST_REST and rest == second[len(there) :]:
                    return True
    return any(
        first.endswith("ful") and second == first.removesuffix("ful") + "less"
        for first, second in ((one, other), (other, one))
    )
