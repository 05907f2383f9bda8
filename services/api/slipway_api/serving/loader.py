"""Load a model version: fetch it, try it in a child process, and open it."""

import shlex
import tempfile
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Literal

from slipway_api.serving.bundle_cache import BundleCache, LastServed, remove_old
from slipway_api.serving.mlmodel import read_mlmodel
from slipway_api.serving.model_ref import ModelRef
from slipway_api.serving.opening import open_bundle, open_foreign
from slipway_api.serving.served_model import ServedModel
from slipway_api.serving.signed_history import NO_DIGEST
from slipway_api.serving.trial import Candidate, Trial, TrialError
from slipway_core.bundle import MANIFEST_FILE, MANIFEST_TAG, MLMODEL_FILE, is_digest
from slipway_core.errors import BundleError, RegistryError, SignatureError
from slipway_core.logging import get_logger
from slipway_core.manifest import MODEL_FILE, SERVED_FILES
from slipway_core.registry import ModelVersion, Registry
from slipway_core.registry.register_command import register_command
from slipway_core.registry.signatures import foreign_digest, signed_digest
from slipway_core.signing import TrustedKeys
from slipway_core.signing.messages import SIGNATURE_TAG

TEMPORARY_PREFIX = "slipway-bundle-"

log = get_logger("slipway.loader")


class Loader:
    """Load registered versions through the local cache.

    Attributes:
        cache: stores bundles.
        allow_unverified: whether to load versions that Slipway's trainer did not register.
        trusted: the keys whose signatures are accepted; None to load unsigned versions, too.
    """

    def __init__(
        self,
        registry: Registry,
        cache: BundleCache,
        *,
        trial: Trial,
        allow_unverified: bool = False,
        trusted: TrustedKeys | None = None,
    ) -> None:
        """Store the collaborators; nothing is loaded yet.

        Args:
            registry: the source of the versions.
            cache: stores their bundles.
            trial: tries a version before this process opens it.
            allow_unverified: whether to load versions that Slipway's trainer did not register.
            trusted: the keys whose signatures are accepted; None to load unsigned versions, too.
        """
        self._registry = registry
        self.cache = cache
        self._trial = trial
        self.allow_unverified = allow_unverified
        self.trusted = trusted

    def load(
        self, version: ModelVersion, *, current: ServedModel | None = None, promoted_digest: str | None = None
    ) -> ServedModel:
        """Load a version that the registry named.

        If the cache cannot be written, log a warning and load the version without it.

        Args:
            version: the version.
            current: a loaded model, which is reused if it is the same bundle.
            promoted_digest: the digest in the signed event that promoted the version; NO_DIGEST if a version of another
                tool needs no signature; None without trusted keys.

        Raises:
            SignatureError: no trusted key signed the version, or it is not the promoted one.
            BundleError: the bundle is damaged or incomplete, or its graph does not reproduce the golden rows.
            RegistryError: the version could not be fetched.
        """
        self._check_signature(version, promoted_digest)
        expected = version.tags.get(MANIFEST_TAG, "")
        if MANIFEST_TAG not in version.tags and self.allow_unverified:
            return self._unverified(version)
        if MANIFEST_TAG not in version.tags:
            raise BundleError(self._why_foreign(version))
        if not is_digest(expected):
            raise BundleError(
                f"version {version.version} has no SHA-256 in its tag {MANIFEST_TAG}: register it with `slipway train`"
            )
        known = LastServed(
            name=version.name,
            version=version.version,
            manifest_sha256=expected,
            run_id=version.run_id,
            description=version.description,
            signature=version.tags.get(SIGNATURE_TAG),
        )
        if current is not None and _is(current, known):
            return replace(
                current,
                source="registry",
                run_id=known.run_id,
                description=known.description,
                signature_tag=known.signature,
            )
        return self._through_cache(version, known)

    def load_last_served(self, ref: ModelRef) -> ServedModel | None:
        """Load the version that was last served for a reference, from the cache alone; return None if unknown.

        A note of another model or version counts as unknown: its signature is valid, but not for this reference.

        Raises:
            SignatureError: no trusted key signed it, such as after a key was removed from the trusted ones.
            BundleError: the cached bundle is damaged.
        """
        known = self.cache.last_served(ref)
        if known is None or known.name != ref.name or ref.version not in {None, known.version}:
            return None
        if self.trusted is not None:
            tags = {MANIFEST_TAG: known.manifest_sha256, SIGNATURE_TAG: known.signature or ""}
            signed_digest(ModelVersion(known.name, known.version, tags=tags), self.trusted)
        folder = self.cache.folder(known.name, known.version, known.manifest_sha256)
        return self._open_cached(folder, known, "cache")

    def remember(self, ref: ModelRef, model: ServedModel, pins: Collection[str] = ()) -> bool:
        """Store in the cache that a model is served, and remove what the cache no longer needs.

        Args:
            ref: the reference that it is served for.
            model: the served model.
            pins: the model's versions that the settings pin.

        Returns:
            Whether a restart could serve the model without the registry. A failed write is logged.
        """
        if not self.cache.holds(self.cache.folder(model.name, model.version, model.manifest_sha256)):
            return False
        note = LastServed(
            name=model.name,
            version=model.version,
            manifest_sha256=model.manifest_sha256,
            run_id=model.run_id,
            description=model.description,
            signature=model.signature_tag,
        )
        try:
            self.cache.remember(ref, note)
        except OSError as error:
            log.warning("bundle_cache_not_written", model=model.name, reason=error.strerror)
            return False
        self.cache.prune(model.name, pins)
        return True

    def sweep(self) -> None:
        """Remove the remains of deleted models and interrupted downloads from the disk."""
        self.cache.sweep()
        remove_old(Path(tempfile.gettempdir()), TEMPORARY_PREFIX)

    def forget(self, ref: ModelRef) -> None:
        """Remove the cache's note of an unloaded reference."""
        self.cache.forget(ref)

    def _through_cache(self, version: ModelVersion, known: LastServed) -> ServedModel:
        """Open a bundle from the cache, or fetch it, if possible into the cache."""
        folder = self.cache.folder(version.name, version.version, known.manifest_sha256)
        if self.cache.holds(folder):
            try:
                return self._open_cached(folder, known, "registry")
            except TrialError:
                raise
            except BundleError as error:
                log.warning("cached_bundle_damaged", model=version.name, version=version.version, reason=str(error))
                self.cache.remove(folder)
        try:
            with self.cache.adding(folder) as partial:
                return self._fetched(version, known, partial)
        except OSError as error:
            log.warning("bundle_cache_not_written", model=version.name, reason=error.strerror)
        try:
            with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX) as temporary:
                return self._fetched(version, known, Path(temporary))
        except OSError as error:
            raise _nothing_written(error) from error

    def _unverified(self, version: ModelVersion) -> ServedModel:
        """Load a version from another tool. Do not cache it: without digests, damage would go undetected."""
        try:
            with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX) as temporary:
                folder = Path(temporary)
                self._registry.fetch(version, MLMODEL_FILE, folder / MLMODEL_FILE)
                is_signed = self.trusted is not None and SIGNATURE_TAG in version.tags
                if self.trusted is not None and is_signed:
                    self._registry.fetch(version, MODEL_FILE, folder / MODEL_FILE)
                    self._check_files(version, folder, self.trusted)
                # A version of another flavor has no graph: report the flavor, not the missing file.
                read_mlmodel(version, (folder / MLMODEL_FILE).read_bytes())
                if not is_signed:
                    self._registry.fetch(version, MODEL_FILE, folder / MODEL_FILE)
                known = LastServed(
                    name=version.name,
                    version=version.version,
                    manifest_sha256=NO_DIGEST,
                    run_id=version.run_id,
                    description=version.description,
                )
                self._trial(Candidate(folder, known, foreign=True, created_at=version.created_at))
                model = open_foreign(folder, version)
        except OSError as error:
            raise _nothing_written(error) from error
        log.warning("unverified_model_loaded", model=model.name, version=model.version)
        return model

    def _check_signature(self, version: ModelVersion, promoted_digest: str | None) -> None:
        """Raise SignatureError unless a trusted key signed a version, and the promoted one is the same bundle."""
        is_bare = MANIFEST_TAG not in version.tags and SIGNATURE_TAG not in version.tags
        if self.trusted is None or (promoted_digest == NO_DIGEST and is_bare):
            return
        digest = signed_digest(version, self.trusted)
        if promoted_digest is not None and digest != promoted_digest:
            raise SignatureError(
                f"version {version.version} of {version.name} has another bundle than the one that was promoted: if "
                f"this is intended, run `slipway models promote {shlex.quote(version.name)} {version.version}`"
            )

    @staticmethod
    def _check_files(version: ModelVersion, folder: Path, trusted: TrustedKeys) -> None:
        """Raise SignatureError if the files of a version from another tool are not the signed ones."""
        files = ((folder / file).read_bytes() for file in (MLMODEL_FILE, MODEL_FILE))
        if foreign_digest(*files) != signed_digest(version, trusted):
            raise SignatureError(
                f"the files of version {version.version} of {version.name} were changed after it was signed: if you "
                f"trust them, sign it again with `slipway signing sign {shlex.quote(version.name)} "
                f"{version.version}`"
            )

    def _why_foreign(self, version: ModelVersion) -> str:
        """Return why a version that another tool registered is not served, and what to change."""
        registered = f"Slipway's trainer did not register version {version.version}"
        try:
            with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX) as temporary:
                mlmodel = Path(temporary) / MLMODEL_FILE
                self._registry.fetch(version, MLMODEL_FILE, mlmodel)
                read_mlmodel(version, mlmodel.read_bytes())
        except BundleError as error:
            return f"{registered}, and {error}"
        except (OSError, RegistryError):  # fall back to the general reason
            pass
        command = register_command(version.name, version.version, trust=False)
        return (
            f"{registered}: convert it to a verified bundle with `{command}`, or set "
            "SLIPWAY_ALLOW_UNVERIFIED_MODELS=true to serve such ONNX models without verification"
        )

    def _open_cached(self, folder: Path, known: LastServed, source: Literal["registry", "cache"]) -> ServedModel:
        """Open a cached bundle; try it first, unless a process sharing the cache has done so."""
        if not self.cache.is_tried(folder, known.manifest_sha256):
            self._trial(Candidate(folder, known))
            self.cache.note_trial(folder, known.manifest_sha256)
        return open_bundle(folder, known, source)

    def _fetched(self, version: ModelVersion, known: LastServed, folder: Path) -> ServedModel:
        """Fetch into an empty folder and verify there, so that the cache only holds verified bundles."""
        for file in (MANIFEST_FILE, *SERVED_FILES):
            self._registry.fetch(version, file, folder / file)
        self._trial(Candidate(folder, known))
        model = open_bundle(folder, known, "registry")
        self.cache.note_trial(folder, known.manifest_sha256)
        return model


def _is(model: ServedModel, known: LastServed) -> bool:
    return (model.version, model.manifest_sha256, model.verified) == (known.version, known.manifest_sha256, True)


def _nothing_written(error: OSError) -> BundleError:
    return BundleError(
        f"neither the bundle cache nor a temporary folder can be written ({error.strerror}): "
        "check SLIPWAY_CACHE_DIR and its disk"
    )
