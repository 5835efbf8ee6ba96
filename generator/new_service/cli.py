"""The command line: each command is a signature and one call. Errors are printed here alone."""

import errno
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from .commands import completion
from .system import streams
from .system.errors import BadInput, NewServiceError, of_program, of_system
from .system.platforms import ENDING, check_command
from .system.screen import Report
from .system.variables import choose

app = typer.Typer(
    name="new-service",
    help="Scaffold FastAPI services and keep them up to date.",
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_INTERRUPTED, _NOBODY_READS = 130, 141
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
NewModules = Annotated[
    list[str],
    typer.Argument(
        metavar="MODULE...",
        help="As `new-service modules` lists them.",
        autocompletion=completion.new_modules,
    ),
]
OwnModules = Annotated[
    list[str],
    typer.Argument(
        metavar="MODULE...",
        help="As `new-service modules` lists them.",
        autocompletion=completion.own_modules,
    ),
]
Project = Annotated[
    Path,
    typer.Option(
        metavar="DIR",
        help="The service, or a folder in it.",
        autocompletion=completion.services,
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change.")]
AllowConflicts = Annotated[
    bool, typer.Option("--allow-conflicts", help="Write conflict markers into the files.")
]
NoLock = Annotated[bool, typer.Option("--no-lock", help="Do not renew uv.lock.")]
NoCheck = Annotated[bool, typer.Option("--no-check", help="Skip the checks.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; take the defaults.")]
Data = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=VALUE",
        help="An answer; can be repeated.",
        show_default=False,
        autocompletion=completion.answers,
    ),
]


def _help_with_choices(context: typer.Context, wanted: bool) -> None:
    if not wanted:
        return
    from .commands import offers

    typer.echo(context.get_help())
    questions = offers.offered()
    if questions is None:
        print("\n `new-service modules` lists what your template offers.")
    else:
        listed = offers.listed if context.command.name == "create" else offers.listed_modules
        print("\n".join(listed(questions)))
    raise typer.Exit


HelpWithChoices = Annotated[
    bool,
    typer.Option(
        "--help",
        "-h",
        callback=_help_with_choices,
        is_eager=True,
        show_default=False,
        help="Show this message with all choices, and exit.",
    ),
]
DataFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Answers in a YAML file; --data overrides.")
]
AnswersFile = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="The answers file, if the project has several."),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version as version_of

        print(version_of("new-service"))
        raise typer.Exit


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001  its callback does it all
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Scaffold FastAPI services and keep them up to date. Without a command, ask and create one."""
    if context.invoked_subcommand is None:
        create()
    elif not {"--help", "-h"} & set(sys.argv):
        check_command(context.invoked_subcommand)


@app.command(
    add_help_option=False,
    short_help="Create a service; its --help lists presets, modules and answers.",
)
def create(
    name: Annotated[
        str | None, typer.Argument(help="The name, such as orders-api.", show_default=False)
    ] = None,
    output_dir: Annotated[Path, typer.Option(help="Where the service's folder is made.")] = Path(),
    with_: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="M,M",
            help="Modules, separated by commas.",
            show_default=False,
            autocompletion=completion.several_modules,
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="A starting point, such as minimal.", autocompletion=completion.presets),
    ] = None,
    data: Data = None,
    data_file: DataFile = None,
    answers_file: Annotated[Path | None, typer.Option(hidden=True)] = None,
    template: Annotated[
        str | None, typer.Option(metavar="URL", help="The address of another template.")
    ] = None,
    template_version: Annotated[
        str | None, typer.Option(metavar="V", help="A version or a range, such as '~=1.4'.")
    ] = None,
    yes: Yes = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the files; create nothing.")
    ] = False,
    no_git: Annotated[bool, typer.Option("--no-git", help="No repository, no commit.")] = False,
    no_lock: Annotated[bool, typer.Option("--no-lock", help="No uv.lock.")] = False,
    as_json: Json = False,
    help_: HelpWithChoices = False,  # noqa: ARG001  its callback does it all
) -> None:
    """Create a service."""
    from .commands import create as creation

    creation.create(
        creation.ToCreate(
            name=name,
            output_dir=output_dir,
            modules=with_ or [],
            preset=preset,
            data=data or [],
            data_file=data_file or answers_file,
            template=template,
            template_version=template_version,
            yes=yes,
            dry_run=dry_run,
            git=not no_git,
            lock=not no_lock,
        ),
        Report(as_json=as_json),
    )


@app.command(add_help_option=False)
def add(
    modules: NewModules,
    project: Project = Path(),
    answers_file: AnswersFile = None,
    data: Data = None,
    data_file: DataFile = None,
    dry_run: DryRun = False,
    allow_conflicts: AllowConflicts = False,
    no_lock: NoLock = False,
    no_check: NoCheck = False,
    yes: Yes = False,
    as_json: Json = False,
    help_: HelpWithChoices = False,  # noqa: ARG001  its callback does it all
) -> None:
    """Add modules to a service, keeping its owner's edits."""
    from .change import engine
    from .commands import lifecycle

    wishes = engine.ToChange(
        project=project,
        answers_file=answers_file,
        data=data or [],
        data_file=data_file,
        dry_run=dry_run,
        allow_conflicts=allow_conflicts,
        lock=not no_lock,
        check=not no_check,
        yes=yes,
    )
    raise typer.Exit(lifecycle.add(modules, wishes, Report(as_json=as_json)))


@app.command()
def remove(
    modules: OwnModules,
    project: Project = Path(),
    answers_file: AnswersFile = None,
    dry_run: DryRun = False,
    force: Annotated[
        bool, typer.Option("--force", help="Delete files that the owner has edited, too.")
    ] = False,
    allow_conflicts: AllowConflicts = False,
    no_lock: NoLock = False,
    no_check: NoCheck = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Remove modules from a service, keeping its owner's edits."""
    from .change import engine
    from .commands import lifecycle

    wishes = engine.ToChange(
        project=project,
        answers_file=answers_file,
        dry_run=dry_run,
        allow_conflicts=allow_conflicts,
        force=force,
        lock=not no_lock,
        check=not no_check,
        yes=yes,
    )
    raise typer.Exit(lifecycle.remove(modules, wishes, Report(as_json=as_json)))


@app.command()
def update(
    project: Project = Path(),
    answers_file: AnswersFile = None,
    to: Annotated[
        str | None, typer.Option(metavar="V", help="A version or a range, such as '~=1.4'.")
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Another address of the service's template, to record."),
    ] = None,
    data: Data = None,
    data_file: DataFile = None,
    dry_run: DryRun = False,
    allow_conflicts: AllowConflicts = False,
    no_lock: NoLock = False,
    no_check: NoCheck = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Move a service to a newer version of its template, keeping its owner's edits."""
    from .change import engine
    from .commands import lifecycle

    wishes = engine.ToChange(
        project=project,
        answers_file=answers_file,
        template=template,
        data=data or [],
        data_file=data_file,
        dry_run=dry_run,
        allow_conflicts=allow_conflicts,
        lock=not no_lock,
        check=not no_check,
        yes=yes,
    )
    raise typer.Exit(lifecycle.update(to, wishes, Report(as_json=as_json)))


@app.command()
def status(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[DIR]...",
            help="Services; by default, the one around the current folder.",
            autocompletion=completion.services,
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Exit 1 if one is outdated, off its pin or unreadable.")
    ] = False,
    answers_file: AnswersFile = None,
    as_json: Json = False,
) -> None:
    """Show the state of services: version, pin, newer versions, drift."""
    from .commands import status as standing

    report = Report(as_json=as_json)
    raise typer.Exit(
        standing.status(folders or [], check=check, report=report, answers_file=answers_file)
    )


@app.command()
def validate(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="[DIR]",
            help="The service, or a folder in it.",
            autocompletion=completion.services,
        ),
    ] = Path(),
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHECK", help="Run only this check.", autocompletion=completion.checks
        ),
    ] = None,
    skip: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHECK",
            help="Skip this check, if the service has it.",
            autocompletion=completion.checks,
        ),
    ] = None,
    answers_file: AnswersFile = None,
    as_json: Json = False,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a JUnit report.")
    ] = None,
) -> None:
    """Check a service: its lock, its own checks, and that it starts."""
    from .commands import validate as validation

    raise typer.Exit(
        validation.validate(
            folder,
            only=only or [],
            skip=skip or [],
            junit=junit,
            report=Report(as_json=as_json),
            answers_file=answers_file,
        )
    )


@app.command()
def smoke(
    strength: Annotated[
        str, typer.Option(metavar="1|2|3|all", help="Cover every option, pair or triple, or all.")
    ] = "2",
    list_: Annotated[bool, typer.Option("--list", help="List the combinations.")] = False,
    shard: Annotated[str | None, typer.Option(metavar="I/N", help="The I-th of N parts.")] = None,
    jobs: Annotated[int, typer.Option(metavar="N", help="How many to try at once.")] = 1,
    data: Data = None,
    data_file: DataFile = None,
    newest: Annotated[bool, typer.Option("--newest", help="Use the newest packages.")] = False,
    keep: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Make the services there and keep them.")
    ] = None,
    as_json: Json = False,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a JUnit report.")
    ] = None,
    format_: Annotated[
        str,
        typer.Option("--format", metavar="text|json|github|gitlab", help="The format of --list."),
    ] = "text",
    allow_skips: Annotated[
        bool, typer.Option("--allow-skips", help="Accept what this machine cannot try.")
    ] = False,
) -> None:
    """Try combinations of answers that together cover the template's options."""
    from .commands import smoke as smoking

    wishes = smoking.ToTry(
        strength=strength,
        shard=shard,
        listed=list_,
        format=format_,
        jobs=jobs,
        newest=newest,
        keep=keep,
        junit=junit,
        data=data or [],
        data_file=data_file,
        allow_skips=allow_skips,
    )
    raise typer.Exit(smoking.smoke(wishes, Report(as_json=as_json)))


@app.command()
def modules(as_json: Json = False) -> None:
    """List the modules that a service can have."""
    from .commands import modules as listing

    listing.list_modules(Report(as_json=as_json))


def main() -> NoReturn:
    """Run the command line and exit with the code that the README's table gives."""
    choose()
    output = streams.prepare()
    completion.join_assignments()
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, _interrupt)
    try:
        code = app(standalone_mode=False) or 0
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except Exception as failed:  # noqa: BLE001  nothing above us could tell the user
        code = _fail(_in_words(failed))
    if code == _INTERRUPTED:  # Typer makes an exit code of most interrupts
        print("\ninterrupted; nothing is left behind.", file=sys.stderr)
    sys.exit(code or _delivered(output))


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _in_words(failed: Exception) -> NewServiceError:
    """What ended the command, as an error with two sentences; whatever has none is a bug."""
    match failed:
        case NewServiceError():
            return failed
        case typer.TyperException():
            context = getattr(failed, "ctx", None)
            command = context.command_path if context else "new-service"
            return BadInput(failed.format_message(), f"{command} --help")
        case OSError():
            return of_system(failed)
        case subprocess.CalledProcessError():
            return of_program(failed)
    from .system import bugs

    return bugs.reported(failed)


def _fail(error: NewServiceError) -> int:
    if os.environ.get("NEW_SERVICE_DEBUG") == "1":
        traceback.print_exc()
    # What a program said may have several lines; an error has one.
    texts = [f"error: {error.message}", *([f"hint: {error.hint}"] if error.hint else [])]
    print(*(" ".join(text.split()) for text in texts), sep="\n", file=sys.stderr)
    return error.exit_code


def _delivered(output: streams.Output) -> int:
    """0 if all that was said could be written, once the work is complete."""
    sys.stdout.flush()
    if output.failure is None:
        return 0
    if output.failure.errno == errno.EPIPE:  # whoever read us has gone, as with `| head`
        return _NOBODY_READS
    return _fail(
        BadInput(
            f"the output could not be written: {output.failure.strerror}.",
            "the work itself is complete; check where the output goes.",
        )
    )


if __name__ == "__main__":
    main()
