"""Portkey's admin API: keys, configs, limits, analytics and feedback, from ordinary and from asynchronous code."""

from portkey_router.admin import models
from portkey_router.admin.client import AdminClient, AsyncAdminClient
from portkey_router.admin.models import ProviderKey, RateLimits, UsageLimits

__all__ = ["AdminClient", "AsyncAdminClient", "ProviderKey", "RateLimits", "UsageLimits", "models"]
