"""exec, logs and port-forward of containers."""

from __future__ import annotations

import subprocess
from contextlib import closing

from kubernetes import client
from kubernetes.stream import portforward

from tests.support.containers import Box, container, pod
from tests.support.engine import until


def test_exec_has_input_a_status_and_a_terminal(lab: Box) -> None:
    script = "read line; echo got $line; exit 5"
    done = lab.kubectl("exec", "-i", "client", "--", "sh", "-c", script, input="word\n")
    assert (done.returncode, done.stdout) == (5, "got word\n")
    look = "'tty; until stty size | grep 33; do sleep 0.1; done'"
    line = lab.engine.kubectl_command("-n", lab.space, "exec", "-it", "client", "--", "sh", "-c", look)
    command = ["script", "-qec", f"stty rows 33 cols 77; {' '.join(line)}", "/dev/null"]
    terminal = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "/dev/pts/0" in terminal.stdout
    assert "33 77" in terminal.stdout


def test_a_client_that_goes_away_takes_its_command_with_it(lab: Box) -> None:
    line = lab.engine.kubectl_command("-n", lab.space, "exec", "client", "--", "sleep", "98765")
    with subprocess.Popen(line) as gone:
        until(lambda: "98765" in lab.sh("client", "ps"))
        gone.kill()
    until(lambda: "98765" not in lab.sh("client", "ps"))


def test_logs_are_followed_cut_and_of_a_container(box: Box) -> None:
    main = container("echo one; echo two; until [ -e /go ]; do sleep 0.1; done; echo three")
    box.run(pod("l", main, container(name="other"), restartPolicy="Never"))
    until(lambda: box.kubectl("logs", "l", "-c", "main", "--tail=1").stdout == "two\n")
    line = box.engine.kubectl_command("-n", box.space, "logs", "-f", "l", "-c", "main")
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as following:
        box.kubectl("exec", "l", "-c", "main", "--", "touch", "/go")
        assert following.communicate(timeout=30)[0] == "one\ntwo\nthree\n"
    assert box.kubectl("logs", "l", "-c", "other").stdout == ""
    assert "nobody is not valid" in box.kubectl("logs", "l", "-c", "nobody").stderr


def test_the_python_client_forwards_a_port(lab: Box) -> None:
    with lab.engine.api() as api:
        core = client.CoreV1Api(api)
        forward = portforward(core.connect_get_namespaced_pod_portforward, "web", lab.space, ports="80")
        with closing(forward.socket(80)) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
        assert answer.endswith(b"here\n")
        forward.websocket.sock.close()  # the package leaves it open where the other side closed first


def test_kubectl_is_told_why_it_cannot_forward_a_port(lab: Box) -> None:
    assert "v4.channel.k8s.io, not over SPDY" in lab.kubectl("port-forward", "web", "0:80").stderr
