"""Save and restore any memjax pytree, bit for bit, with the step and the configuration of its run.

A checkpoint is the Orbax folder OUT/checkpoints/<step> with two items: `state`, the arrays under their tree paths, and
`manifest`, which says what every leaf is and holds the SHA-256 of all arrays and its own. Orbax writes under a
temporary name and renames, so a process that is killed leaves whole checkpoints and at most one unfinished folder,
which is passed over.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from memjax.errors import UserError

FORMAT = 1
_UNFINISHED = ".orbax-checkpoint-tmp"
_DROPPED = ".dropped"
_SCALARS = (bool, int, float, str)


class CheckpointError(UserError):
    """A checkpoint is missing, damaged, not memjax's, or of another run."""


class Checkpoint(NamedTuple):
    """What `restore` gives back; note tells a person that an unfinished checkpoint was passed over, or is empty."""

    step: int
    tree: Any
    config: dict
    note: str


def save(folder: str | os.PathLike, step: int, tree: Any, config: Mapping | None = None, *, keep: int = 3) -> Path:
    """Save `tree` in folder/checkpoints/<step> and return that path once everything is on the disk.

    Leaves are JAX arrays, typed PRNG keys, NumPy arrays and Python numbers, flags and strings; config is whatever JSON
    can hold, compared at restore. The newest `keep` checkpoints stay. Saving a step again is accepted where nothing has
    changed. Raises TypeError for another kind of leaf, and CheckpointError where the step holds something else or the
    disk refuses.
    """
    import orbax.checkpoint as ocp

    if step < 0 or keep < 1:
        raise ValueError(f"step must be >= 0 and keep >= 1, got {step} and {keep}")
    leaves = [(_name(path), leaf) for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]]
    arrays = {name: _to_numpy(name, leaf) for name, leaf in leaves if type(leaf) not in _SCALARS}
    manifest = {
        "format": FORMAT,
        "memjax": _version(),
        "step": step,
        "config": json.loads(json.dumps(config or {})),  # as JSON gives it back: tuples become lists
        "leaves": {name: _describe(leaf) for name, leaf in leaves},
        "arrays_sha256": _arrays_digest(arrays),
    }
    manifest["sha256"] = _manifest_digest(manifest)

    root = Path(folder).absolute() / "checkpoints"
    target = root / str(step)
    if target.exists():
        if _read_manifest(target) == manifest:
            return target
        raise CheckpointError(f"{target} exists and holds something else: it is not written over")
    stored = {name: array for name, array in arrays.items() if array.size}  # Orbax takes no array of size zero
    items: dict[str, Any] = {"manifest": ocp.args.JsonSave(manifest)}
    if stored:
        items["state"] = ocp.args.PyTreeSave(stored)
    try:
        _clean(root)
        with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
            checkpointer.save(target, ocp.args.Composite(**items))
        for old in _steps(root)[:-keep]:
            _drop(root / str(old))
    except OSError as error:
        raise CheckpointError(f"cannot save {target}: {error}") from error
    return target


def latest(folder: str | os.PathLike) -> int | None:
    """Return the newest finished step in folder/checkpoints, or None where there is none."""
    steps = _steps(Path(folder) / "checkpoints")
    return steps[-1] if steps else None


def restore(
    folder: str | os.PathLike, like: Any, config: Mapping | None = None, *, step: int | None = None
) -> Checkpoint:
    """Restore the newest checkpoint of `folder` (or that of `step`) into the structure of `like`.

    like: a pytree with the wanted structure, shapes, dtypes and placement; `jax.eval_shape` makes one without computing
    it. config: where given, it must equal the one saved. Raises CheckpointError where there is no checkpoint, and where
    it is damaged, not memjax's, of another tree or of another config; the message says which.
    """
    root = Path(folder).absolute() / "checkpoints"
    steps = _steps(root)
    if not steps or (step is not None and step not in steps):
        wanted = "no finished checkpoint" if step is None else f"no checkpoint of step {step}"
        raise CheckpointError(f"{root} holds {wanted} (it has: {', '.join(map(str, steps)) or 'none'})")
    path = root / str(steps[-1] if step is None else step)
    earlier = [s for s in steps if s < int(path.name)]
    hint = f"; remove it to go on from step {earlier[-1]}" if earlier else ""

    manifest = _read_manifest(path, hint)
    if config is not None:
        _check_config(path, manifest["config"], json.loads(json.dumps(config)))
    flat, treedef = jax.tree_util.tree_flatten_with_path(like)
    leaves = [(_name(tree_path), leaf) for tree_path, leaf in flat]
    _check_leaves(path, manifest["leaves"], {name: _describe(leaf) for name, leaf in leaves})
    arrays = _read_arrays(path, manifest, hint)
    tree = treedef.unflatten(_rebuild(manifest["leaves"][name], arrays.get(name), leaf) for name, leaf in leaves)

    unfinished = _unfinished(root)
    note = f"{unfinished[0]} was not finished and is passed over; going on from step {path.name}" if unfinished else ""
    return Checkpoint(int(path.name), tree, manifest["config"], note)


# --- leaves ----------------------------------------------------------------------------------------------------------


def _name(path: tuple) -> str:
    return "tree" + jax.tree_util.keystr(path)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _describe(leaf: Any) -> dict:
    """Say what a leaf is, in JSON; a Python scalar is itself part of the description."""
    if type(leaf) in _SCALARS:
        return {"python": type(leaf).__name__, "value": leaf}
    described = {"shape": list(leaf.shape), "dtype": str(leaf.dtype)}
    if isinstance(leaf, jax.Array) and _is_key(leaf):
        described["impl"] = str(jax.random.key_impl(leaf))
    return described


def _to_numpy(name: str, leaf: Any) -> np.ndarray:
    if isinstance(leaf, jax.Array):
        return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)
    if isinstance(leaf, np.ndarray | np.generic) and not leaf.dtype.hasobject:
        return np.asarray(leaf)
    raise TypeError(
        f"{name} is a {type(leaf).__name__}: a checkpoint holds JAX and NumPy arrays, PRNG keys and Python numbers, "
        f"flags and strings"
    )


def _rebuild(described: dict, array: np.ndarray | None, like: Any) -> Any:
    if array is None:
        return described["value"]
    if isinstance(like, np.generic):
        return array[()]
    if isinstance(like, np.ndarray):
        return array
    sharding = like.sharding if isinstance(like, jax.Array) and like.committed else None
    if "impl" in described:
        key = jax.random.wrap_key_data(jnp.asarray(array), impl=described["impl"])
        return key if sharding is None else jax.device_put(key, sharding)
    return jax.device_put(array, sharding)


def _arrays_digest(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 over the bytes of every array in C order, by sorted name; the manifest has the shapes."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


def _manifest_digest(manifest: dict) -> str:
    """Return the SHA-256 over the manifest without its own hash."""
    rest = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


# --- reading and checking --------------------------------------------------------------------------------------------


def _read_manifest(path: Path, hint: str = "") -> dict:
    import orbax.checkpoint as ocp

    if not (path / "manifest").is_dir():
        raise CheckpointError(f"{path} is no memjax checkpoint: it has no manifest{hint}")
    try:
        with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
            manifest = checkpointer.restore(path, ocp.args.Composite(manifest=ocp.args.JsonRestore())).manifest
        whole = manifest["sha256"] == _manifest_digest(manifest)
        found = manifest["format"]
    except Exception as error:  # a damaged folder makes Orbax raise nearly anything
        raise CheckpointError(f"{path} is damaged: its manifest cannot be read ({_short(error)}){hint}") from error
    if not whole:
        raise CheckpointError(f"{path} is damaged: its manifest does not have the SHA-256 written at saving{hint}")
    if found != FORMAT:
        raise CheckpointError(f"{path} has checkpoint format {found!r}; this memjax ({_version()}) reads {FORMAT}")
    return manifest


def _read_arrays(path: Path, manifest: dict, hint: str) -> dict[str, np.ndarray]:
    import orbax.checkpoint as ocp

    wanted = {name: d for name, d in manifest["leaves"].items() if "python" not in d}
    empty = {name: np.zeros(d["shape"], jnp.dtype(d["dtype"])) for name, d in wanted.items() if 0 in d["shape"]}
    arrays = {}
    try:
        with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
            # One by one: where one of several concurrent reads fails, the others print tracebacks from their threads.
            for name in sorted(wanted.keys() - empty.keys()):
                args = ocp.args.PyTreeRestore(
                    item={name: 0}, restore_args={name: ocp.RestoreArgs(restore_type=np.ndarray)}, partial_restore=True
                )
                arrays |= checkpointer.restore(path, ocp.args.Composite(state=args)).state
        arrays = {name: np.asarray(array) for name, array in (arrays | empty).items()}
        whole = _arrays_digest(arrays) == manifest["arrays_sha256"]
    except Exception as error:  # as above
        raise CheckpointError(f"{path} is damaged: its arrays cannot be read ({_short(error)}){hint}") from error
    if not whole:
        raise CheckpointError(f"{path} is damaged: its arrays do not have the SHA-256 written at saving{hint}")
    return arrays


def _check_config(path: Path, saved: dict, given: dict) -> None:
    old, new = _flatten(saved), _flatten(given)
    changed = [key for key in sorted(old | new) if key not in old or key not in new or old[key] != new[key]]
    if changed:
        listed = "; ".join(f"{key}: saved {old.get(key, 'nothing')}, now {new.get(key, 'nothing')}" for key in changed)
        raise CheckpointError(f"{path} belongs to a run with another configuration ({listed})")


def _check_leaves(path: Path, saved: dict[str, dict], like: dict[str, dict]) -> None:
    problems = [f"it has no {name}" for name in like if name not in saved]
    problems += [f"it has {name}, which is not wanted" for name in saved if name not in like]
    for name in like.keys() & saved.keys():
        # Of a scalar the type counts, not the value; of a key the dtype, which names the generator.
        old, new = ({k: v for k, v in d[name].items() if k not in ("value", "impl")} for d in (saved, like))
        if old != new:
            problems.append(f"{name} is {_say(old)}, and {_say(new)} is wanted")
    if problems:
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise CheckpointError(f"{path} holds another tree: {'; '.join(sorted(problems)[:5])}{more}")


def _say(described: dict) -> str:
    return described.get("python") or f"{described['dtype']}{described['shape']}"


def _flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    flat = {}
    for key, inner in value.items():
        flat |= _flatten(inner, f"{prefix}.{key}" if prefix else key)
    return flat


def _short(error: Exception) -> str:
    first = str(error).strip().split("\n")[0][:200]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _version() -> str:
    try:
        return version("memjax")
    except PackageNotFoundError:  # run from a source tree
        return "unknown"


# --- folders ---------------------------------------------------------------------------------------------------------


def _steps(root: Path) -> list[int]:
    """List the finished steps: only a finished checkpoint has a plain number for a name."""
    if not root.is_dir():
        return []
    return sorted(int(p.name) for p in root.iterdir() if p.name.isascii() and p.name.isdigit() and p.is_dir())


def _unfinished(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if _UNFINISHED in p.name)


def _clean(root: Path) -> None:
    """Remove what a killed process left behind."""
    root.mkdir(parents=True, exist_ok=True)
    for path in [*_unfinished(root), *root.glob(f"*{_DROPPED}")]:
        shutil.rmtree(path)


def _drop(path: Path) -> None:
    """Remove a checkpoint: renamed first, so that it is never half there under its own name."""
    shutil.rmtree(path.rename(path.with_name(path.name + _DROPPED)))
