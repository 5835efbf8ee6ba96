"""What a command shows before it acts: a service in a few lines, its tree, one question."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from textwrap import shorten, wrap

import typer

from .conditions import Conditions
from .prompts import columns, folded, prompts
from .questions import Questions

_LINES = 15
_NAMES = 34


def confirm(question: str, *, otherwise: str = "nothing was changed.") -> None:
    """Ask whether to go on; `otherwise` is said after a no.

    Raises:
        Exit: no. That is an answer, and no interrupt.
        KeyboardInterrupt: Ctrl-C.
    """
    if not prompts().yes(question):
        print(f"  {otherwise}")
        raise typer.Exit(1)


def short(name: str, files: list[str], answers: Mapping[str, object], questions: Questions) -> str:
    """What was chosen, and where its files are, in at most 15 lines."""
    chosen = folded(" · ".join(_choices(answers, questions)), first=f"  {name}   ", rest="    ")
    total = [f"    {len(files)} files; --dry-run lists them"]
    folders = _in_folders(files)
    root = folders.pop("", [])
    room = _LINES - len(chosen) - len(total) - 1
    rows = [line for folder, inside in folders.items() for line in _folder(folder, inside)]
    if len(rows) >= room:
        rows = [_count(folder, inside) for folder, inside in folders.items()]
    if len(rows) >= room:
        rows = [*rows[: room - 2], f"    … {len(rows) - room + 2} more folders"]
    if root:
        rows.append(shorten(f"and {'  '.join(root)}", columns() - 4, placeholder=" …"))
        rows[-1] = f"    {rows[-1]}"
    return "\n".join(["", *chosen, *rows, *total])


def _choices(answers: Mapping[str, object], questions: Questions) -> Iterable[str]:
    """The modules, each with the choices that belong to it by name, then the other choices."""
    conditions = Conditions(questions)
    others = {
        name: str(answers[name])
        for name, question in questions.asked.items()
        if name != "modules" and question.choices and not question.computed and name in answers
        if conditions.is_asked(name, answers)
    }
    modules = answers.get("modules")
    for module in modules if isinstance(modules, list) else []:
        own = [others.pop(name) for name in list(others) if name.startswith(f"{module}_")]
        yield f"{module} ({', '.join(own)})" if own else str(module)
    if not modules and questions.modules:
        yield "no modules"
    for name, answer in others.items():
        yield f"{name} {answer}"


def _in_folders(files: Iterable[str]) -> dict[str, list[str]]:
    """Paths by their outermost folder, "" for those in none; one that holds a single folder, such
    as `src`, goes with that."""
    folders: defaultdict[str, list[str]] = defaultdict(list)
    for path in files:
        folder, slash, rest = path.partition("/")
        folders[folder if slash else ""].append(rest or folder)
    for folder, inside in list(folders.items()):
        within = {path.partition("/")[0] for path in inside}
        if folder and len(within) == 1 and all("/" in path for path in inside):
            (only,) = within
            del folders[folder]
            folders[f"{folder}/{only}"] = [path.partition("/")[2] for path in inside]
    return dict(sorted(folders.items()))


def _folder(folder: str, inside: list[str]) -> list[str]:
    counts = Counter(path.partition("/")[0] if "/" in path else "" for path in inside)
    own = counts.pop("", 0)
    parts = [_files(own)] if own else []
    parts += [f"{name} {count}" for name, count in sorted(counts.items())]
    return folded(" · ".join(parts), first=f"    {folder}/   ", rest="      ")


def _count(folder: str, inside: list[str]) -> str:
    return f"    {folder}/   {_files(len(inside))}"


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"


def tree(name: str, files: list[str], modules: list[str]) -> str:
    """The folders of a service as a tree, with the files of each."""
    names = _NAMES if columns() == 80 else 6
    folders: defaultdict[str, list[str]] = defaultdict(list)
    for path in files:
        folder, _, file = path.rpartition("/")
        folders[folder].append(file)
    count = f"{len(modules)} modules · " if modules else ""
    lines = [f"\n  {name + '/':<{names}}{count}{len(files)} files"]
    # Folders first, then the files of the root.
    for folder in sorted(folders, key=lambda folder: (folder == "", folder)):
        wrapped = wrap("  ".join(folders[folder]), columns() - names - 2, break_long_words=False)
        start = f"  {'├── ' + folder + '/' if folder else '└──'}"
        rest = "  │" if folder else ""
        if len(start) > names:  # its files go below
            lines.append(start)
            start = rest
        lines += [f"{start:<{names}}  {wrapped[0]}"]
        lines += [f"{rest:<{names}}  {line}" for line in wrapped[1:]]
    return "\n".join([*lines, ""])
