"""What an interactive `create` shows: where to start from, the tree, one confirmation."""

from collections import defaultdict
from textwrap import wrap

from .questions import Answers, Questions

_WIDTH, _NAMES = 80, 34


def ask_start(questions: Questions, answers: Answers, *, preset: str | None) -> Answers:
    """Ask which preset to start from, unless the modules are chosen or there is nothing to choose.

    Raises:
        KeyboardInterrupt: Ctrl-C.
    """
    if preset is not None or "modules" in answers or not questions.modules:
        return {}
    import questionary  # 0.1 s that only a prompt needs

    choices = [
        questionary.Choice(f"{name:<12}{details.get('summary', '')}", name)
        for name, details in questions.presets.items()
    ]
    choices.append(questionary.Choice(f"{'choose':<12}pick modules one by one", "choose"))
    start = questionary.select("Start from", choices).unsafe_ask()
    return {} if start == "choose" else questions.preset(start)


def confirm(question: str) -> None:
    """Ask whether to go on.

    Raises:
        KeyboardInterrupt: no, or Ctrl-C.
    """
    import questionary

    if not questionary.confirm(question).unsafe_ask():
        raise KeyboardInterrupt


def tree(name: str, files: list[str], modules: list[str]) -> str:
    """The folders of a service as a tree, with the files of each; at most 80 columns."""
    folders: defaultdict[str, list[str]] = defaultdict(list)
    for path in files:
        folder, _, file = path.rpartition("/")
        folders[folder].append(file)
    count = f"{len(modules)} modules · " if modules else ""
    lines = [f"\n  {name + '/':<{_NAMES}}{count}{len(files)} files"]
    # Folders first, then the files of the root.
    for folder in sorted(folders, key=lambda folder: (folder == "", folder)):
        wrapped = wrap("  ".join(folders[folder]), _WIDTH - _NAMES - 2, break_long_words=False)
        start = f"  {'├── ' + folder + '/' if folder else '└──'}"
        rest = "  │" if folder else ""
        if len(start) > _NAMES:  # its files go below
            lines.append(start)
            start = rest
        lines += [f"{start:<{_NAMES}}  {wrapped[0]}"]
        lines += [f"{rest:<{_NAMES}}  {line}" for line in wrapped[1:]]
    return "\n".join([*lines, ""])
