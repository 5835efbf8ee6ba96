"""The preview of a service: in a few lines, or as a tree of all files."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from textwrap import shorten, wrap

from ..system.screen import columns, counted, folded
from ..template.conditions import Conditions
from ..template.questions import Questions
from ..template.wishes import modules_in

_LINES = 15
_NAMES = 34


def short(name: str, files: list[str], answers: Mapping[str, object], questions: Questions) -> str:
    """The choices and the folders of a service, in at most 15 lines."""
    chosen = _in_a_row(_choices(answers, questions), first=f"  {name}   ", rest="    ")
    total = [f"    {len(files)} files; --dry-run lists them"]
    folders = _in_folders(files)
    root = sorted(folders.pop("", []), key=lambda name: name.startswith("."))
    room = max(1, _LINES - len(chosen) - len(total) - 2)
    width = max((len(folder) for folder in folders), default=0)
    starts = {folder: f"    {folder + '/':<{width + 3}}" for folder in folders}
    rows = [
        line
        for folder, start in starts.items()
        for line in _in_a_row(_counts(folders[folder]), first=start, rest="      ")
    ]
    if len(rows) > room:
        rows = [f"{start}{counted(len(folders[folder]))}" for folder, start in starts.items()]
    if len(rows) > room:
        rows = [*rows[: room - 1], f"    … and {len(rows) - room + 1} more folders"]
    if root:
        rows.append("    " + shorten(f"and {' '.join(root)}", columns() - 4, placeholder=" …"))
    return "\n".join(["", *chosen, *rows, *total])


def _choices(answers: Mapping[str, object], questions: Questions) -> Iterator[str]:
    """The modules, each with the choices that belong to it by name, then the other choices."""
    conditions = Conditions(questions)
    others = {
        name: str(answers[name])
        for name, question in questions.asked.items()
        if name != "modules" and question.choices and not question.computed and name in answers
        if conditions.is_asked(name, answers)
    }
    modules = modules_in(answers)
    for module in modules:
        own = [others.pop(name) for name in list(others) if name.startswith(f"{module}_")]
        yield f"{module} ({', '.join(own)})" if own else module
    if not modules and questions.modules:
        yield "no modules"
    for name, answer in others.items():
        yield f"{name} {answer}"


def _in_folders(files: Iterable[str]) -> dict[str, list[str]]:
    """Paths by their outermost folder, "" for those in none; a folder that holds nothing but one
    folder, such as `src`, is joined with that."""
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


def _counts(inside: list[str]) -> Iterator[str]:
    """The numbers of files directly in a folder, and in each of its folders."""
    counts = Counter(path.partition("/")[0] if "/" in path else "" for path in inside)
    if own := counts.pop("", 0):
        yield counted(own)
    for name, count in sorted(counts.items()):
        yield f"{name} {count}"


def _in_a_row(parts: Iterable[str], *, first: str, rest: str) -> list[str]:
    """Lines of `parts`, wrapped between parts only."""
    unbreakable = "\N{NO-BREAK SPACE}"
    text = f"{unbreakable}· ".join(part.replace(" ", unbreakable) for part in parts)
    return [line.replace(unbreakable, " ") for line in folded(text, first=first, rest=rest)]


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
        wrapped = wrap(
            "  ".join(folders[folder]),
            columns() - names - 2,
            break_long_words=False,
            break_on_hyphens=False,
        )
        start = f"  {'├── ' + folder + '/' if folder else '└──'}"
        rest = "  │" if folder else ""
        if len(start) > names:  # its files go below
            lines.append(start)
            start = rest
        lines += [f"{start:<{names}}  {wrapped[0]}"]
        lines += [f"{rest:<{names}}  {line}" for line in wrapped[1:]]
    return "\n".join([*lines, ""])
