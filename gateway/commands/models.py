"""`gatehouse models add | list | verify | show`: the guard models of a site, their files and what is known of them.

All are read-only but `add`, which writes one file, the manifest, into the directory that it was given. None downloads
anything, starts anything or contacts anybody. What is printed about a model's quality is what its makers published,
with its source; how it does on a site's own texts is what `gatehouse eval` is for.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, TextIO

from gateway import model_directory as directories
from gateway.commands.adapters import add_adapters_commands
from gateway.guard_settings import Guards, GuardSettings, guards_in
from gateway.jsonstrict import Json, dumps
from gateway.model_directory import Addition, Found, ModelRefused
from guards.profiles import label_classifier, moderation_api
from guards.profiles.configured import NAMES
from guards.profiles.known import PROFILES
from guards.profiles.profile import ModelProfile
from policies.errors import FileErrors, did_you_mean

OK, REFUSED, UNREADABLE = 0, 1, 2
_STATUS: Final = "exit status: 0 all held, 1 a model was refused, 2 a name or the configuration could not be read"
Run = Callable[[argparse.Namespace, TextIO], int]


class _Unknown(Exception):
    """A name that is neither a directory nor a configured guard, or a configuration that cannot be read."""


def add_models_commands(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser], quickstart: Callable[[], Path]
) -> None:
    """Adds `models` with its subcommands. Each sets `run`: (args, out) -> exit status."""
    models = subparsers.add_parser("models", help="check, list and describe guard models")
    commands = models.add_subparsers(metavar="COMMAND", required=True)
    add_adapters_commands(commands)
    add = _command(commands, "add", run_add, _ADD, "gatehouse models add /models/PG2 --profile prompt_guard_2_86m")
    add.add_argument("path", type=Path, metavar="PATH", help="the checkpoint's directory")
    kind = add.add_mutually_exclusive_group(required=True)
    kind.add_argument("--profile", help="what the guard model is; `gatehouse models list` names them")
    kind.add_argument("--engine", action="store_true", help="a model that answers, for `engine: {path: …}`")
    add.add_argument("--name", help="default: the directory's name")
    add.add_argument("--licence", "--license", help="default: the licence of the profile")
    add.add_argument(
        "--without-weights", action="store_true", help="tokenizer and template only: a server has the rest"
    )
    add.add_argument("--probe", action="store_true", help="run the model once on a few texts and keep its scores")
    listing = _command(commands, "list", run_list, _LIST, "gatehouse models list --config gatehouse.yaml")
    verify = _command(commands, "verify", run_verify, _VERIFY, "gatehouse models verify llama_guard_4")
    verify.add_argument("what", nargs="*", metavar="PATH|NAME", help="default: every configured guard")
    verify.add_argument("--probe", action="store_true", help="run the model again and compare with the kept scores")
    show = _command(commands, "show", run_show, _SHOW, "gatehouse models show llama_guard_2")
    show.add_argument("what", metavar="PATH|NAME", help="a directory, a configured guard, or a profile")
    for command in (listing, verify, show):
        told = "gatehouse.yaml whose `guards:` are meant; default: the built-in quickstart"
        command.add_argument("--config", "-c", type=Path, default=quickstart(), metavar="FILE", help=told)


_ADD: Final = """Check a checkpoint's directory and write its manifest: SHA-256 and size of every file, licence and
profile; of a model that answers (`--engine`) whether the model host runs its architecture. Refused
are pickles and all weights but safetensors, by content; `auto_map` and code; shards or tensors that
are missing or cut; a tokenizer of another model; an architecture or a template that does not fit the profile."""
_LIST: Final = "List the profiles that ship, and the guards that the configuration names with where they run."
_VERIFY: Final = """Compare every byte of a model with its manifest and check it again as `add` does. A changed,
missing or unlisted file is named."""
_SHOW: Final = """Print what is known of a model: profile, taxonomy, licence, window, languages, published figures with
their source, digests. Compares nothing; `verify` does."""


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, run: Run, told: str, example: str
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name,
        help=told.split(":")[0].split(". ")[0].rstrip(".").replace("\n", " ").lower(),
        description=told,
        epilog=f"example: {example}\n{_STATUS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--json", action="store_true", help="one JSON object for each model, one a line")
    command.set_defaults(run=lambda args, out=None: _guarded(run, args, out or sys.stdout))
    return command


def _guarded(run: Run, args: argparse.Namespace, out: TextIO) -> int:
    try:
        return run(args, out)
    except _Unknown as exc:
        print(f"gatehouse models: {exc}", file=sys.stderr)
        return UNREADABLE


def run_add(args: argparse.Namespace, out: TextIO) -> int:
    """Check a directory and write its manifest."""
    name = args.name or args.path.resolve().name
    if args.engine:
        if not args.licence or args.probe or args.without_weights:
            raise _Unknown("`--engine` needs `--licence`, and has nothing to do with `--probe` and `--without-weights`")
        check = partial(directories.add_engine, args.path, name, args.licence)
        return _reported([(str(args.path), check)], args.json, out)
    if args.profile not in NAMES:
        hint = did_you_mean(args.profile, NAMES) or "`gatehouse models list` names them"
        raise _Unknown(f"`{args.profile}` is no profile ({hint})")
    shipped = PROFILES.get(args.profile)
    licence = args.licence or (shipped.licence if shipped else "")
    if not licence:
        raise _Unknown(f"profile `{args.profile}` states no licence; name it with --licence")
    addition = Addition(name, licence, args.profile, not args.without_weights)
    if args.probe and (args.without_weights or directories.as_shipped(args.profile) is None):
        raise _Unknown("`--probe` runs the model here, as its profile describes it")
    return _reported([(str(args.path), lambda: _added(args.path, addition, args.probe))], args.json, out)


def _added(path: Path, addition: Addition, with_probe: bool) -> Found:
    from gateway import model_probe  # with it comes what runs a model host; other commands need not wait for that

    with directories.as_it_was_if_refused(path):
        found = directories.add(path, addition)
        chosen = directories.as_shipped(addition.profile)
        if with_probe and chosen is not None:
            scores = model_probe.probe(path, chosen)
            model_probe.refuse_misbehaviour(path, chosen.profile, scores)
            model_probe.keep(path, scores)
    return found


def run_verify(args: argparse.Namespace, out: TextIO) -> int:
    """Check directories again."""
    guards = _guards(args.config) if not all(_is_directory(what) for what in args.what) or not args.what else {}
    chosen = args.what or [use for use, one in guards.items() if one.path is not None]
    return _reported([(what, _verification(what, guards, args.probe)) for what in chosen], args.json, out)


def _verification(what: str, guards: Guards, with_probe: bool) -> Callable[[], Found]:
    guard = None if _is_directory(what) else _configured(what, guards)
    path = Path(what) if guard is None else guard.path
    if path is None:
        raise _Unknown(f"guard `{what}` has no files here")
    return lambda: _verified(path, guard, with_probe)


def _verified(path: Path, guard: GuardSettings | None, with_probe: bool) -> Found:
    from gateway import model_probe

    found = directories.verify(path, guard)
    chosen = directories.described(path, guard) if with_probe and (guard is None or guard.is_local) else None
    if chosen is not None:
        model_probe.compare(path, model_probe.probe(path, chosen))
    return found


def _reported(work: Sequence[tuple[str, Callable[[], Found]]], as_json: bool, out: TextIO) -> int:
    status = OK
    for what, check in work:
        try:
            found = check()
        except ModelRefused as exc:
            status = REFUSED
            refused: Json = {"model": what, "ok": False, "problems": list(exc.problems)}
            print(dumps(refused).decode() if as_json else _refusal(what, exc), file=out)
            continue
        print(dumps(_as_json(what, found)).decode() if as_json else _as_text(what, found), file=out)
    return status


def _refusal(what: str, exc: ModelRefused) -> str:
    return "\n".join([*(f"{what}: {problem}" for problem in exc.problems), f"{what}: refused"])


def _as_text(what: str, found: Found) -> str:
    lines = [f"{what}: ok; {found.profile or 'no profile'}, {found.files} files", f"  weights   {found.digest}"]
    lines += [f"  template  {found.template}"] if found.template else []
    lines += [f"  differs from what is publicly known of its prompt: {note}" for note in found.notes]
    return "\n".join(lines)


def _as_json(what: str, found: Found) -> Json:
    return {
        "model": what,
        "ok": True,
        "profile": found.profile,
        "files": found.files,
        "weights_digest": found.digest,
        "template_digest": found.template,
        "notes": list(found.notes),
    }


def run_list(args: argparse.Namespace, out: TextIO) -> int:
    """Profiles and configured guards."""
    guards = _guards(args.config)
    if args.json:
        for profile in PROFILES.values():
            print(dumps({"profile": profile.use, **_about(profile)}).decode(), file=out)
        for guard in guards.values():
            print(dumps(_guard_as_json(guard)).decode(), file=out)
        return OK
    rows = [(one.use, str(one.kind), str(one.task), str(one.window), one.title) for one in PROFILES.values()]
    rows += [
        (label_classifier.USE, "-", "classify", "-", "any sequence classifier, described in the configuration"),
        (moderation_api.USE, "-", "moderate", "-", "a service with OpenAI's /v1/moderations"),
    ]
    print(_table(("PROFILE", "KIND", "TASK", "WINDOW", "MODEL"), rows) + "\n", file=out)
    places = [(one.use, one.profile.use, _where(one), _state(one)) for one in guards.values()]
    print(_table(("GUARD", "PROFILE", "RUNS", "FILES"), places), file=out)
    return OK


def _where(guard: GuardSettings) -> str:
    return "local model host" if guard.is_local else f"{guard.url} as {guard.model}"


def _state(guard: GuardSettings) -> str:
    """What can be told without reading a model."""
    if guard.path is None:
        return "none here"
    listed = (guard.path / directories.MANIFEST).is_file()
    return f"{guard.path}" if listed or not guard.is_local else f"{guard.path} (no manifest: gatehouse models add)"


def _guard_as_json(guard: GuardSettings) -> Json:
    return {
        "guard": guard.use,
        "profile": guard.profile.use,
        "path": str(guard.path) if guard.path else None,
        "url": guard.url or None,
        "model": guard.model,
        "manifest": guard.path is not None and (guard.path / directories.MANIFEST).is_file(),
    }


def run_show(args: argparse.Namespace, out: TextIO) -> int:
    """What is known of one model."""
    profile, path = _meant(args)
    known: dict[str, Json] = {"profile": profile.use, **_about(profile)} if profile else {}
    if path is not None:
        try:
            listed = directories.manifest(path)
        except ModelRefused as exc:
            known["manifest"] = f"{exc}"
        else:
            known |= {
                "path": str(path),
                "name": str(listed.get("name")),
                "files_licence": str(listed.get("license")),
            }
            known |= {"weights_digest": directories.claimed_digest(listed), "files": _files(listed)}
    print(dumps(known).decode() if args.json else _described(known), file=out)
    return OK


def _meant(args: argparse.Namespace) -> tuple[ModelProfile | None, Path | None]:
    if _is_directory(args.what):
        path = Path(args.what)
        try:
            named = str(directories.manifest(path).get("profile"))
        except ModelRefused as exc:
            raise _Unknown(str(exc)) from exc
        return PROFILES.get(named), path
    guards = _guards(args.config)
    if args.what not in guards and args.what in PROFILES:
        return PROFILES[args.what], None
    guard = _configured(args.what, guards)
    return guard.profile, guard.path


def _about(profile: ModelProfile) -> dict[str, Json]:
    return {
        "title": profile.title,
        "kind": str(profile.kind),
        "task": str(profile.task),
        "architecture": profile.architecture,
        "window": profile.window,
        "languages": list(profile.languages),
        "licence": profile.licence,
        "taxonomy": [{"code": code, "name": name} for code, name in profile.names],
        "figures": [{"what": one.what, "value": one.value, "source": one.source} for one in profile.figures],
    }


def _files(manifest: object) -> Json:
    files = manifest.get("files") if isinstance(manifest, dict) else None
    return [
        {"path": str(path), "bytes": entry.get("bytes"), "sha256": entry.get("sha256")}
        for path, entry in sorted((files or {}).items())
        if isinstance(entry, dict)
    ]


def _described(known: dict[str, Json]) -> str:
    lines: list[str] = []
    for key, value in known.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            lines.append(f"{key}:")
            lines += ["  " + "  ".join(str(part) for part in one.values()) for one in value if isinstance(one, dict)]
        elif value not in ([], "", None):
            shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            lines.append(f"{key + ':':<18}{shown}")
    return "\n".join(lines)


def _guards(config: Path) -> Guards:
    try:
        return guards_in(config)
    except FileErrors as exc:
        raise _Unknown(f"`guards:` cannot be read\n{exc}") from exc
    except OSError as exc:
        raise _Unknown(f"`{config}` cannot be read: {(exc.strerror or 'unreadable').lower()}") from exc


def _configured(name: str, guards: Guards) -> GuardSettings:
    if name not in guards:
        hint = did_you_mean(name, [*guards, *PROFILES]) or "name a directory, or a guard of `--config gatehouse.yaml`"
        raise _Unknown(f"`{name}` is neither a directory nor a configured guard ({hint})")
    return guards[name]


def _is_directory(what: str) -> bool:
    """A name alone is a guard, even where a directory is called so; `./name` is the directory."""
    return "/" in what or (Path(what).is_dir() and what not in NAMES)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in (head, *rows))
