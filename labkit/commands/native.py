"""Commands for native programs: the system's ssh, a local port (RDP, databases), files copied up and down."""

from __future__ import annotations

import asyncio
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from labkit.cluster import joining
from labkit.commands.labs import Session, lab_argument
from labkit.errors import LabkitError, SetupError
from labkit.folders import make_private
from labkit.manifests import names
from labkit.model import Login

_REMOTE = re.compile(r"(?P<lab>[a-z0-9][a-z0-9-]*)(?:/(?P<machine>[a-z0-9][a-z0-9-]*))?:(?P<path>.*)", re.DOTALL)


def _machine(session: Session, lab: str, named: str | None) -> str:
    """The machine that is named, or the lab's only one."""
    machines = [machine.name for machine in session.status(lab).machines]
    if named in machines:
        return named
    if named is None and len(machines) == 1:
        return machines[0]
    which = f"no machine {named!r}" if named else "more than one machine" if machines else "no machine at the moment"
    raise LabkitError(f"lab {lab} has {which}" + (f"; name one of: {', '.join(machines)}" if machines else ""))


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@lab_argument
@click.argument("words", metavar="[MACHINE] [COMMAND]...", nargs=-1, type=click.UNPROCESSED)
def ssh(lab: str, words: tuple[str, ...]) -> None:
    """Sign in to a machine with the system's ssh, as its first user, or run COMMAND there.

    MACHINE may be left out where the lab has one only: labkit ssh LAB -- ls -l
    """
    session = Session()
    lab = session.find(lab)
    single = len(session.status(lab).machines) == 1
    named = bool(words) and words[0] != "--" and not (single and words[0] != session.status(lab).machines[0].name)
    machine = _machine(session, lab, words[0] if named else None)
    command = words[1:] if named else words
    login = session.labs.login(session.principal, lab, machine)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: sys.exit(128 + number))  # not without removing the key
    signal.signal(signal.SIGINT, lambda number, frame: None)  # ssh's to answer
    with tempfile.TemporaryDirectory(prefix="ssh-", dir=make_private(session.settings.runtime_dir)) as folder:
        line = _command_line(Path(folder), lab, machine, login)
        try:
            done = subprocess.run([*line, machine, *command[command[:1] == ("--",) :]], check=False)
        except FileNotFoundError as error:
            raise SetupError("there is no ssh on this machine; install openssh-client") from error
    sys.exit(done.returncode)


def _command_line(folder: Path, lab: str, machine: str, login: Login) -> list[str]:
    """The system's ssh with nothing but what labkit knows: no settings of the user's, no question, no trust on first
    use. The key is in a file of this user's alone, for as long as ssh runs."""
    key, known = folder / "key", folder / "known_hosts"
    key.touch(mode=0o600)
    key.write_text(login.key)
    known.write_text(f"{lab}.{machine} {login.host_key}\n")
    proxy = [sys.executable, "-P", "-m", "labkit.cli", "forward", "--stdio", lab, machine, str(names.SSH_PORT)]
    options = {
        "ProxyCommand": shlex.join(proxy).replace("%", "%%"),
        "User": login.user,
        "IdentityFile": f'"{key}"',
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "HostKeyAlias": f"{lab}.{machine}",
        "UserKnownHostsFile": f'"{known}"',
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "PreferredAuthentications": "publickey",
        "BatchMode": "yes",
        "LogLevel": "ERROR",
    }
    return ["ssh", "-F", "none", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]


@click.command()
@lab_argument
@click.argument("machine")
@click.argument("port", type=click.IntRange(1, 65535))
@click.option("--local", type=click.IntRange(0, 65535), default=0, help="The port here; 0, the default: any free one.")
@click.option("--stdio", is_flag=True, help="One connection, on standard input and output: for a ProxyCommand.")
def forward(lab: str, machine: str, port: int, local: int, stdio: bool) -> None:
    """Reach a machine's TCP PORT on 127.0.0.1, until Ctrl-C.

    Any program on this computer can use it meanwhile, also another user's.
    """
    session = Session()
    lab = session.find(lab)
    way = joining.Way(session.labs.port(session.principal, lab, _machine(session, lab, machine), port), machine, port)
    try:
        asyncio.run(_stdio(way) if stdio else _listen(way, local))
    except KeyboardInterrupt:
        click.echo("Ended.", err=True)


async def _stdio(way: joining.Way) -> None:
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
    try:
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
        transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, sys.stdout.buffer)
    except (ValueError, PermissionError) as error:
        raise SetupError("--stdio needs pipes or a terminal; put `cat FILE |` in front of it") from error
    await joining.join(await way.open(), reader, asyncio.StreamWriter(transport, protocol, None, loop))


async def _listen(way: joining.Way, local: int) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await joining.join(await way.open(), reader, writer)
        except LabkitError as error:
            click.echo(f"Error: {error}", err=True)
            writer.transport.abort()

    try:
        server = await asyncio.start_server(serve, "127.0.0.1", local)
    except OSError as error:
        raise SetupError(f"port {local} cannot be listened on here: {error.strerror}; choose another") from error
    async with server:
        where = server.sockets[0].getsockname()
        click.echo(f"127.0.0.1:{where[1]} leads to port {way.port} of machine {way.machine}. Ctrl-C ends it.")
        await server.serve_forever()


@click.command()
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@click.option("-r", "--recursive", is_flag=True, help="Copy folders with all that is in them.")
def cp(source: str, target: str, recursive: bool) -> None:
    """Copy files to or from a machine, as its first user: labkit cp notes.txt LAB/MACHINE:

    One of SRC and DST is LAB/MACHINE:PATH, or LAB:PATH where the lab has one machine only. A PATH that is not absolute
    begins in the user's home. The other is a path here; one that looks like the first is written ./LAB:PATH.
    """
    there = [found for found in (_REMOTE.fullmatch(source), _REMOTE.fullmatch(target)) if found]
    if len(there) != 1:
        raise click.UsageError("One of SRC and DST must be LAB/MACHINE:PATH, and the other a path here.")
    session = Session()
    lab = session.find(there[0]["lab"])
    machine = _machine(session, lab, there[0]["machine"])
    login = session.labs.login(session.principal, lab, machine)
    way = session.labs.port(session.principal, lab, machine, names.SSH_PORT)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("Connecting", total=None)

        def tell(name: str, done: int, size: int) -> None:
            progress.update(task, description=name, completed=done, total=size)

        async def copy() -> list[str]:
            from labkit.cluster import copying, sftp  # loaded when used: they bring in a library for SSH

            path = there[0]["path"] or "."
            async with sftp.files(way(), login, machine) as files:
                if _REMOTE.fullmatch(source):
                    return await copying.download(files, path, Path(target), tell, recursive=recursive)
                return await copying.upload(files, Path(source), path, tell, recursive=recursive)

        try:
            left = asyncio.run(copy())
        except OSError as error:
            raise LabkitError(f"{error.filename or target}: {error.strerror or error}") from error
    if left:
        raise LabkitError("left out, being neither file nor folder: " + ", ".join(left))
