"""Greetings, requests to be so kind, and thanks: what a question is wrapped in, and what its answer does not turn on.

Encoders hear them, and drift. So a question is compared without them; only where they stand apart from it: `Hello
World in Python` and `How do you say thanks?` stay as they are.
"""

from __future__ import annotations

import re

from portkey_router.cache.normalise import normalise

__all__ = ["plain_form", "without_courtesy"]

_GREETING = (
    r"(?:hi|hello|hey|dear|good (?:morning|afternoon|evening|day)|excuse me|sorry(?: to bother you)?|quick question|ok"
    r"|okay)(?: (?:there|all|support|team|everyone|sir|madam|folks))*\s*[,.!:]+"
)
_VERBS = (
    r"(?:tell me(?: about)?|show me|explain|describe|list|write|summari[sz]e|translate|recommend|suggest|name|define"
    r"|compare|give me|help me (?:to )?\w+)\b"
)
_REQUEST = (
    r"(?:please,? )?(?:can|could|would|will) you (?:please |kindly )?(?:tell|show|explain to) me(?= \w)"
    rf"|(?:please,? )?(?:can|could|would|will) you (?:please |kindly )?(?={_VERBS})"
    r"|would you mind telling me|i(?: would|'d) (?:like|love) to know|i was wondering|if you (?:do not|don't) mind"
    r"|i(?:'d| would) be grateful if you could|(?:can|could|may) i ask(?: you)?|can you (?:please )?help me\s*[?.!]+"
    r"|please help(?: me)?\s*[,.!:]+|please tell me|please,?|kindly"
)
_BEFORE = re.compile(rf"\s*(?:(?:{_GREETING}|{_REQUEST})[,\s]*(?=\S+\s+\S))+", re.IGNORECASE)
_AFTER = re.compile(
    r"(?<=[.,?!\n])(?:\s*(?:please(?: and thank you| help(?: me)?| advise| reply| explain| let me know)?|kindly"
    r"|(?:many )?thanks(?: a lot| so much)?(?: in advance)?(?: for your (?:help|time|answer))?|cheers|thx|tia|:-?\)"
    r"|thank you(?: so much| very much)?(?: in advance)?(?: for your (?:help|time|answer))?|(?:best |kind )?regards"
    r"|can you help(?: me)?|any help is appreciated|let me know)[\s.,!?]*)+$",
    re.IGNORECASE,
)
_LEAST = 2  # words that a question keeps
_NEAR = 160  # characters at either end that are looked at
_LONGEST = 4_000  # a document has no manners


def without_courtesy(text: str) -> str:
    """The question alone; the text itself where next to nothing would be left of it. Twice is as once."""
    question, before = text, ""
    while question != before and len(text) <= _LONGEST:
        before, shorter = question, _shortened(question)
        question = shorter if len(shorter.split(None, _LEAST)) >= _LEAST else question
    return question


def plain_form(text: str) -> str:
    """What is left of a question without courtesies and in its normal form: by this, two are the same question."""
    return normalise(without_courtesy(text))


def _shortened(text: str) -> str:
    start = found.end() if (found := _BEFORE.match(text, 0, _NEAR)) else 0
    tail = max(start, len(text) - _NEAR)
    return (text[start:tail] + _AFTER.sub("", text[tail:])).rstrip(", ")
