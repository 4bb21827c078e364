"""The two clients of Portkey's admin API: one blocks, one is awaited, and everything else they share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from pydantic import SecretStr

from portkey_router.admin.access import ApiKeys, RateLimitPolicies, UsageLimitPolicies
from portkey_router.admin.analytics import Analytics, Feedback
from portkey_router.admin.configs import Configs
from portkey_router.admin.conversation import Session
from portkey_router.admin.ends import Async, M_co, Sync
from portkey_router.admin.provider_keys import ProviderKeys
from portkey_router.admin.vault import Integrations, Providers, VirtualKeys
from portkey_router.errors import ConfigurationError, MissingCredentialError
from portkey_router.portal import SyncTransport
from portkey_router.settings import HOSTED_GATEWAY_URL, read_environment, usable_url
from portkey_router.transport import shared

if TYPE_CHECKING:
    from portkey_router.drive import AsyncPort, SyncPort

__all__ = ["AdminClient", "AsyncAdminClient", "open_session"]


def open_session(
    *,
    api_key: str | SecretStr | None = None,
    base_url: str | None = None,
    workspace_id: str | None = None,
    timeout: float = 30.0,
    max_retries: int = 2,
    env_file: str | None = ".env",
) -> Session:
    """Where the admin API is and who asks, from arguments, environment and `.env`. Raises `ConfigurationError`."""
    env = read_environment(env_file)
    given = api_key.get_secret_value() if isinstance(api_key, SecretStr) else api_key
    key = (given or "").strip() or env.get("master_portkey_admin_key") or env.get("portkey_api_key")
    if not key:
        raise MissingCredentialError(
            "Neither MASTER_PORTKEY_ADMIN_KEY nor PORTKEY_API_KEY is set: set one of them (the first wins; a "
            "workspace's key serves where its scopes allow), or pass api_key=."
        )
    if not timeout > 0 or max_retries < 0:  # so that NaN is none
        raise ConfigurationError("timeout= is in seconds and above 0, max_retries= a number from 0 up.")
    set_url = env.get("portkey_admin_url")
    url = (
        usable_url("base_url", base_url) if base_url else usable_url("PORTKEY_ADMIN_URL", set_url or HOSTED_GATEWAY_URL)
    )
    return Session(url, SecretStr(key), timeout, max_retries, workspace_id)


class _Client(Generic[M_co]):
    """The resources, for one of the two ends."""

    def __init__(self, session: Session, end: M_co) -> None:
        self._session = session
        self.keys = ProviderKeys(session, end)
        self.virtual_keys = VirtualKeys(session, end)
        self.providers = Providers(session, end)
        self.integrations = Integrations(session, end)
        self.configs = Configs(session, end)
        self.api_keys = ApiKeys(session, end)
        self.usage_limits = UsageLimitPolicies(session, end)
        self.rate_limits = RateLimitPolicies(session, end)
        self.analytics = Analytics(session, end)
        self.feedback = Feedback(session, end)

    @property
    def url(self) -> str:
        """Where the admin API is."""
        return self._session.url

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url})"


class AdminClient(_Client[Sync]):
    """Portkey's admin API, from ordinary code: `AdminClient().keys.list()`. Safe in any thread; nothing to close.

    - `api_key`: by default `MASTER_PORTKEY_ADMIN_KEY`, else `PORTKEY_API_KEY`.
    - `base_url`: by default `PORTKEY_ADMIN_URL`, else Portkey's own; a control plane of one's own has another.
    - `workspace_id`: for calls that name none. An organisation's key needs one for what belongs to a workspace.
    - `timeout`: seconds for each request with its further tries. `max_retries`: further tries after a passing fault
      (429, 5xx, a lost connection); whatever creates is never sent twice.

    Resources: `keys` (providers' keys, whichever kind the workspace has), `virtual_keys`, `providers`,
    `integrations`, `configs`, `api_keys`, `usage_limits`, `rate_limits` (policies), `analytics`, `feedback`. Listings
    are iterators that fetch page after page. Errors: `AdminError` for what the API refuses, `TransportError` for the
    network, `CreateUnconfirmedError` where the reply to a creation was lost, `ConfigurationError` before any network.
    """

    def __init__(
        self,
        *,
        api_key: str | SecretStr | None = None,
        base_url: str | None = None,
        workspace_id: str | None = None,
        timeout: float = 30.0,
        max_retries: int = 2,
        env_file: str | None = ".env",
        port: SyncPort | None = None,
    ) -> None:
        session = open_session(
            api_key=api_key,
            base_url=base_url,
            workspace_id=workspace_id,
            timeout=timeout,
            max_retries=max_retries,
            env_file=env_file,
        )
        super().__init__(session, Sync(port or SyncTransport(shared())))


class AsyncAdminClient(_Client[Async]):
    """`AdminClient` for the running loop: `await client.keys.rotate(...)`, `async for key in client.keys.list()`.

    Arguments, resources and errors are those of `AdminClient`. It may be used from any loop; nothing to close.
    """

    def __init__(
        self,
        *,
        api_key: str | SecretStr | None = None,
        base_url: str | None = None,
        workspace_id: str | None = None,
        timeout: float = 30.0,
        max_retries: int = 2,
        env_file: str | None = ".env",
        port: AsyncPort | None = None,
    ) -> None:
        session = open_session(
            api_key=api_key,
            base_url=base_url,
            workspace_id=workspace_id,
            timeout=timeout,
            max_retries=max_retries,
            env_file=env_file,
        )
        super().__init__(session, Async(port or shared()))
