"""Choose the references to serve: those of the settings, and the aliases beside Production of their models."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from slipway_api.serving.model_ref import ModelRef
from slipway_core.registry import PRODUCTION, STAGING, RegisteredModel
from slipway_core.registry.base import candidate_alias

MAX_CANDIDATES = 8


class Followed:
    """The references that the settings ask for.

    Attributes:
        named: the references of the settings; empty to serve every model with the alias Production.
        default_model: the model of requests that name none.
        required: the references without which the service is not ready.
        max_candidates: how many candidates of a model are served.
    """

    def __init__(self, models: tuple[str, ...], default_model: str, max_candidates: int = MAX_CANDIDATES) -> None:
        """Parse the settings.

        Args:
            models: the models to serve, each as `name` or `name@number`; if empty, every model with the alias
                Production.
            default_model: the model of requests that name none; required if `models` is empty.
            max_candidates: how many candidates of a model are served.
        """
        self.named = tuple(ModelRef.parse(text) for text in models)
        self.default_model = default_model
        self.required = self.named or (ModelRef(default_model),)
        self.max_candidates = max_candidates

    def includes(self, ref: ModelRef) -> bool:
        """Return whether the settings include a reference. An alias is included with its model."""
        named = ref if ref.is_pinned else ModelRef(ref.name)
        return named in self.named if self.named else not ref.is_pinned

    def pins(self, name: str) -> frozenset[str]:
        """Return the versions of a model that the settings pin."""
        return frozenset(ref.version for ref in self.named if ref.name == name and ref.version is not None)

    def main(self, models: Mapping[str, RegisteredModel], served: Collection[ModelRef]) -> list[ModelRef]:
        """Return the pinned and Production references to serve. A model without the alias stays served.

        Args:
            models: the registry's models, by name.
            served: the references that are served now.
        """
        return [
            ref
            for ref in self.named or map(ModelRef, models)
            if ref.name in models and (ref.is_pinned or ref in served or PRODUCTION in models[ref.name].aliases)
        ]

    def beside(self, models: Iterable[RegisteredModel]) -> list[ModelRef]:
        """Return the references beside Production: Staging, and the newest candidates up to the limit."""
        refs = []
        for model in models:
            if not self.includes(ModelRef(model.name)):
                continue
            if STAGING in model.aliases:
                refs.append(ModelRef(model.name, alias=STAGING))
            candidates = model.candidates
            newest = sorted(candidates, key=lambda name: (-int(candidates[name]), name))[: self.max_candidates]
            refs += [ModelRef(model.name, alias=candidate_alias(name)) for name in sorted(newest)]
        return refs

    def cached(self, refs: Sequence[ModelRef]) -> list[ModelRef]:
        """Return which references to serve from the cache, given those that it holds."""
        main = self.named or [ref for ref in refs if ref.is_production]
        beside = [ref for ref in refs if ref.is_beside and self.includes(ref)]
        counts: Counter[str] = Counter()
        for ref in [ref for ref in beside if ref.alias != STAGING]:
            counts[ref.name] += 1
            if counts[ref.name] > self.max_candidates:  # the limit was lowered since they were cached
                beside.remove(ref)
        return [*main, *beside]
