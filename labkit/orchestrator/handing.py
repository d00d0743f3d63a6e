"""Files between the text and a machine: one that is handed in to be marked, one that a click puts there.

With a VM over SFTP: put as the learner, fetched as root with the checks' key. With a container over its pod's exec.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from labkit.cluster.podexec import run_in_pod
from labkit.cluster.streams import StreamTarget
from labkit.errors import ClusterError, Conflict, FileRefused, LabkitError, MachineUnreachable
from labkit.manifests import names
from labkit.model import Answer
from labkit.orchestrator import ssh
from labkit.orchestrator.checks import why_not
from labkit.orchestrator.work import Result, Work
from labkit.templates import Machine, media_file

MOST_BYTES = 1 << 20
"""The largest file that can be handed in."""
_SECONDS = 60.0


def collect(work: Work) -> Result:
    """Fetch the file that a question asks for, and keep it as the answer to it. Raises LabkitError."""
    question, path = (str(work.operation.arguments[name]) for name in ("question", "path"))
    machine = _machine(work)
    work.say("collecting", f"Fetching {path} from {machine.name}", 0.2)
    content = _from_vm(work, machine, path) if machine.type == "vm" else _from_container(work, machine, path)
    answer = Answer(question, (path, str(len(content))), None, None, time.time())
    work.around.store.record_answer(work.row.work, answer, most=0, content=content)
    work.say("collected", "The file is handed in", 1.0)
    return {"question": question, "bytes": len(content)}


def upload(work: Work) -> Result:
    """Put a file of the template into a machine; one that is there is replaced. Raises LabkitError."""
    file, path = (str(work.operation.arguments[name]) for name in ("file", "path"))
    machine = _machine(work)
    content = media_file(work.template.folder, file).read_bytes()
    work.say("uploading", f"Putting {path} into {machine.name}", 0.2)
    if machine.type == "vm":
        _to_vm(work, machine, path, content)
    else:
        _in_container(work, machine, ("sh", "-c", 'cat > "$0.part" && mv "$0.part" "$0"', path), content)
    work.say("uploaded", "The file is there", 1.0)
    return {"path": path, "bytes": len(content)}


def _machine(work: Work) -> Machine:
    name = str(work.operation.arguments["machine"])
    if why := why_not(work.machines(), name):
        raise Conflict(why)
    return work.template.machine(name)


def _from_vm(work: Work, machine: Machine, path: str) -> bytes:
    from labkit.cluster.sftp import files  # loaded when used, as is what brings it in: few operations need it

    login, target = work.access().root_login(machine.name), _target(work, machine)

    async def fetch() -> bytes:
        async with files(target, login, machine.name) as found:
            size = await found.size(path)
            if size > MOST_BYTES:
                raise _too_large(path)
            return b"".join([piece async for piece in found.read(path, size)])

    return ssh.until_done(fetch(), work.go_on)


def _to_vm(work: Work, machine: Machine, path: str, content: bytes) -> None:
    from labkit.cluster.sftp import files

    login, target = work.access().learner_login(machine, work.around.terminal_key), _target(work, machine)

    async def pieces() -> AsyncIterator[bytes]:
        yield content

    async def put() -> int:
        async with files(target, login, machine.name) as found:
            return await found.write(path, pieces(), expected=len(content), mode=0o644)

    ssh.until_done(put(), work.go_on)


def _from_container(work: Work, machine: Machine, path: str) -> bytes:
    content = _in_container(work, machine, ("head", "-c", str(MOST_BYTES + 1), path), b"")
    if len(content) > MOST_BYTES:
        raise _too_large(path)
    return content


def _in_container(work: Work, machine: Machine, command: tuple[str, ...], stdin: bytes) -> bytes:
    api = work.around.cluster.api
    try:
        done = run_in_pod(
            api, work.namespace, machine.name, command, stdin=stdin, timeout=_SECONDS, limit=MOST_BYTES + 1
        )
    except ClusterError as error:
        raise MachineUnreachable(f"no command can be run in machine {machine.name} at the moment") from error
    if done.status != 0:
        said = done.stderr.decode(errors="replace").strip()[-500:]
        raise LabkitError(f"machine {machine.name} refuses that: {said or 'it did not answer in time'}")
    return done.stdout


def _target(work: Work, machine: Machine) -> StreamTarget:
    return work.around.cluster.stream_target(work.namespace, machine.name, f"portforward/{names.SSH_PORT}")


def _too_large(path: str) -> FileRefused:
    return FileRefused(f"{path} is larger than the {MOST_BYTES >> 20} MiB that can be handed in", "too-large")
