"""How long changes of a service and looks at it take, beside what plain Copier takes."""

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from command import BIN, ROOT, seconds
from measure import Ratio, in_turns

SERVICES = 100


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@contextmanager
def hosted(folder: Path) -> Iterator[str]:
    """The address of a template with two versions, served by git as a team's host would."""
    template = folder / "hosted" / "template.git"
    template.mkdir(parents=True)
    archive = subprocess.run(
        ["git", "archive", "HEAD", "template", "copier.yml"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    subprocess.run(["tar", "--extract"], cwd=template, check=True, input=archive.stdout)
    git(template, "init", "--quiet")
    git(template, "add", "--all", "--force")
    git(template, "commit", "--quiet", "--message", "one")
    git(template, "tag", "v1.0.0")
    settings = template / "template" / "src" / "{{package}}" / "settings.py"
    settings.write_text(settings.read_text() + "# The end.\n")
    git(template, "commit", "--quiet", "--all", "--message", "two")
    git(template, "tag", "v1.1.0")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    daemon = subprocess.Popen(
        [
            *("git", "daemon", "--reuseaddr", "--export-all", "--listen=127.0.0.1"),
            *(f"--port={port}", f"--base-path={folder / 'hosted'}"),
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"git://127.0.0.1:{port}/template.git"
    finally:
        daemon.terminate()
        daemon.wait()


def create(folder: Path, url: str, name: str) -> Path:
    """A service of version 1.0.0, in git."""
    seconds(
        *(BIN / "new-service", "create", name, "--yes", "--no-lock", "--output-dir", folder),
        *("--template", url, "--template-version", "1.0.0"),
    )
    return folder / name


def changes() -> Iterator[Ratio]:
    """`update` and `add` beside `copier update`, from a template on a git server."""
    fast = ("--no-lock", "--no-check", "--yes", "--project")
    plain = (BIN / "copier", "update", "--defaults", "--quiet")
    with tempfile.TemporaryDirectory() as name, hosted(Path(name)) as url:
        service = create(Path(name), url, "shop")

        def timed(*command: str | Path) -> float:
            git(service, "reset", "--hard", "--quiet")
            git(service, "clean", "--force", "-d", "--quiet")
            return seconds(*command)

        pairs = in_turns(
            lambda: timed(BIN / "new-service", "update", *fast, service),
            lambda: timed(*plain, "--vcs-ref", "v1.1.0", service),
            rounds=15,
        )
        yield Ratio.of("update to copier update", pairs, "ms", 0.95)
        pairs = in_turns(
            lambda: timed(BIN / "new-service", "add", "database", *fast, service),
            lambda: timed(
                *plain, "--vcs-ref", ":current:", "--data", "modules=[database]", service
            ),
            rounds=15,
        )
        yield Ratio.of("add to copier update", pairs, "ms", 0.95)


def looks() -> Iterator[Ratio]:
    """`status` beside `copier copy`, and of many services beside one."""
    with tempfile.TemporaryDirectory() as name, hosted(Path(name)) as url:
        folder = Path(name)
        service, copied = create(folder, url, "shop"), folder / "copied"

        def copy() -> float:
            shutil.rmtree(copied, ignore_errors=True)
            return seconds(
                *(BIN / "copier", "copy", "--defaults", "--quiet", "--vcs-ref", "v1.0.0"),
                *("--data", "service_name=shop", url, copied),
            )

        def look(*folders: Path) -> float:
            return seconds(BIN / "new-service", "status", *folders)

        yield Ratio.of("status to copier copy", in_turns(lambda: look(service), copy, 9), "ms", 1.2)
        many = [folder / "many" / str(number) for number in range(SERVICES)]
        for number, each in enumerate(many):
            shutil.copytree(service, each)
            answers = each / ".copier-answers.yml"
            # Each with a name of its own, so that none is rendered for another.
            answers.write_text(answers.read_text().replace("shop", f"shop-{number}"))
        pairs = in_turns(lambda: look(*many), lambda: look(service), 3)
        yield Ratio.of("status of 100 services to one", pairs, "ms", 8.0)
