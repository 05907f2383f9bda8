"""Decide which version of a model to serve: the alias Production, or the newest signed event if keys are trusted."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from slipway_api.serving.bundle_cache import BundleCache
from slipway_api.serving.model_ref import ModelRef
from slipway_core.registry import PRODUCTION, RegisteredModel
from slipway_core.registry.events import PromotionEvent
from slipway_core.registry.register_command import register_command
from slipway_core.registry.signatures import checked_events, has_signed_history, newest_event
from slipway_core.signing import TrustedKeys

# The digest of a version that another tool registered.
NO_DIGEST = f"sha256:{'0' * 64}"


@dataclass(frozen=True)
class Target:
    """The version of a model to serve.

    Attributes:
        version: the version; None to keep the served one.
        digest: the digest that the signed event names; NO_DIGEST for a version of another tool that needs no signature;
            None without trusted keys.
        problem: why the alias Production is not followed; None if it is.
    """

    version: str | None
    digest: str | None = None
    problem: str | None = None


class SignedHistory:
    """The newest signed event of each model. It never goes back to an older one, also not after a restart.

    Attributes:
        trusted: the trusted keys; None to follow the alias.
    """

    def __init__(self, trusted: TrustedKeys | None, cache: BundleCache, *, allow_unverified: bool = False) -> None:
        """Know no model yet.

        Args:
            trusted: the trusted keys; None to follow the alias.
            cache: stores the newest serial of each model.
            allow_unverified: whether to follow the alias of models that no key ever signed.
        """
        self.trusted = trusted
        self._cache = cache
        self._allow_unverified = allow_unverified
        self._newest: dict[str, tuple[Mapping[str, str], PromotionEvent | None]] = {}
        self._serials: dict[str, int] = {}
        self._problems: dict[str, str] = {}

    def target(self, model: RegisteredModel, ref: ModelRef) -> Target:
        """Return the version to serve for a reference to a model.

        Only the moves of Production are signed. For other references, the signature of the version suffices.

        A problem is returned from the second call on, because a promotion moves the alias before it adds its event.
        """
        alias = ref.version or model.aliases.get(ref.alias)
        if self.trusted is None or alias is None or not ref.is_production:
            return Target(alias)
        if self._allow_unverified and self._was_never_signed(model):
            return Target(alias, NO_DIGEST)
        event, problem = self._follow(model)
        if event is not None and problem is None and event.version != alias:
            problem = (
                f"the alias Production was moved to version {alias} without a signed promotion, so version "
                f"{event.version} stays: if the move is intended, run `slipway models promote "
                f"{shlex.quote(model.name)} {alias}`"
            )
        before = self._problems.pop(model.name, None)
        if problem is not None:
            self._problems[model.name] = problem
        shown = problem if problem == before else None
        if event is None:
            return Target(None, None, shown)
        return Target(event.version, event.digest, shown)

    def _follow(self, model: RegisteredModel) -> tuple[PromotionEvent | None, str | None]:
        """Return the event to follow, and what is wrong with the history."""
        name, alias = model.name, model.aliases[PRODUCTION]
        quoted = shlex.quote(name)
        event = self._newest_event(model)
        if event is None or event.serial is None:
            return None, (
                f"no promotion in the history of {name} is signed by a trusted key: if Slipway's trainer registered "
                f"version {alias}, run `slipway models promote {quoted} {alias}`; for a model of another tool, run "
                f"`{register_command(name, alias, trust=False)}`"
            )
        stored = self._cache.newest_serial(name)
        if event.serial < max(self._serials.get(name, 0), stored):
            return None, (
                f"the history of {name} is older than the one that this API followed before, as if events were "
                f"deleted or copied back: if this is intended, run `slipway models promote {quoted} VERSION`"
            )
        self._serials[name] = event.serial
        if event.serial > stored:  # also if an earlier attempt to store it failed
            self._cache.remember_serial(name, event.serial)
        return event, None

    def _was_never_signed(self, model: RegisteredModel) -> bool:
        """Return whether a model has no signed event, and none was followed before."""
        name = model.name
        return not has_signed_history(model) and name not in self._serials and self._cache.newest_serial(name) == 0

    def _newest_event(self, model: RegisteredModel) -> PromotionEvent | None:
        known = self._newest.get(model.name)
        if known is not None and known[0] == model.tags:
            return known[1]
        event = newest_event(checked_events(model, self.trusted)) if self.trusted is not None else None
        self._newest[model.name] = model.tags, event
        return event
