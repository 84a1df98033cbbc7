"""Judges one program inside the sandbox. It is the sandbox's first process, so nothing in there can kill, stop or outlive it.

Two processes. The program runs in a child, the checks run here; between them stands what core's exchange.ts says, which is put in
front of this file. The child is forked before the checks are read.

Standard input: two documents, each four bytes of length and then JSON. The first has the program and its limits, the second the
checks. File descriptor 3 gets the verdict: one JSON object.
"""

import fcntl
import json
import math
import os
import resource
import select
import signal
import struct
import time

VERDICT = 3
LARGEST_FRAME = 64 << 20
POLL_SECONDS = 0.02


def read_exactly(fd, size, wait=None):
    parts = []
    while size:
        if wait:
            wait(fd)
        part = os.read(fd, min(size, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b''.join(parts)


def write_all(fd, data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


class Pipe:
    """Messages with four bytes of length in front."""

    def __init__(self, source, sink, wait=None):
        self.source, self.sink, self.wait = source, sink, wait

    def read(self):
        (size,) = struct.unpack('>I', read_exactly(self.source, 4, self.wait))
        if size > LARGEST_FRAME:
            raise ValueError('an answer of more than %d MiB' % (LARGEST_FRAME >> 20))
        return read_exactly(self.source, size, self.wait)

    def write(self, data):
        write_all(self.sink, struct.pack('>I', len(data)) + data)


def be_program(job, source, sink):
    """Ends with the process."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in (signal.SIGALRM, signal.SIGPIPE):
        signal.signal(name, signal.SIG_DFL)
    null = os.open('/dev/null', os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    # The verdict's descriptor goes with all others. From high numbers, so that neither takes the other's place.
    source, sink = fcntl.fcntl(source, fcntl.F_DUPFD, 20), fcntl.fcntl(sink, fcntl.F_DUPFD, 20)
    os.dup2(source, 10)
    os.dup2(sink, 11)
    os.closerange(3, 10)
    os.closerange(12, resource.getrlimit(resource.RLIMIT_NOFILE)[1] + 1)
    cpu = math.ceil(job['cpuSeconds']) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
    for name, value in (('RLIMIT_NPROC', job['processes']), ('RLIMIT_FSIZE', job['fileBytes'])):
        resource.setrlimit(getattr(resource, name), (int(value), int(value)))
    peer = Program(Pipe(10, 11))
    try:
        answer = run_program(job['program'], peer)
    except BaseException:
        os._exit(1)
    peer.pipe.write(answer)
    try:
        peer.serve()
    except EOFError:
        pass
    os._exit(0)


class ProcessJudge(Judge):
    def __init__(self, job):
        self.job = job
        self.started = time.monotonic()
        # A program that computes has its seconds of CPU; one that sleeps, or has to wait for a busy machine, has more by the clock.
        self.deadline = self.started + job['wallSeconds']
        self.child = None
        self.status = None
        self.finished = False

    def finish(self, verdict, result):
        """Says the verdict and ends the sandbox, and so every process in it."""
        if self.finished:
            return  # the alarm, while the verdict is being written
        self.finished = True
        text = json.dumps({'verdict': verdict, 'result': result[:TEXT_LIMIT], 'seconds': time.monotonic() - self.started})
        write_all(VERDICT, text.encode('ascii', 'replace'))
        os._exit(0)

    def out_of_time(self):
        self.finish('time', 'timed out')

    def alarm(self, *_):
        """For checks that never call the program."""
        if self.finished:
            return  # while the verdict is being written, which an exception here would prevent
        left = self.deadline - time.monotonic()
        if left <= 0:
            self.out_of_time()
        signal.setitimer(signal.ITIMER_REAL, left)

    def wait(self, fd):
        """Until `fd` can be read. Meanwhile: the clock, the number of files, and who has died."""
        while True:
            asked = time.monotonic()
            ready, _, _ = select.select([fd], [], [], max(0.0, min(POLL_SECONDS, self.deadline - asked)))
            # Where this process gets its turn late the program does, too: time on a machine that is busy is not the program's.
            self.deadline += max(0.0, time.monotonic() - asked - 2 * POLL_SECONDS)
            if time.monotonic() >= self.deadline or self.cpu_seconds() >= self.job['cpuSeconds']:
                self.out_of_time()
            for folder in self.job['folders']:
                space = os.statvfs(folder)
                if space.f_files - space.f_ffree > self.job['files']:
                    self.finish('killed', 'failed: more than %d files' % self.job['files'])
            self.reap()
            if ready:
                return

    def cpu_seconds(self):
        """Of the program's process. Its clock has a number made of its id: clock_getcpuclockid(3)."""
        try:
            return time.clock_gettime(~self.child << 3 | 2)
        except OSError:
            return 0.0

    def reap(self):
        """Orphans become children of the first process: whoever does not take them in leaves them in the process table."""
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self.child:
                    self.status = status
        except ChildProcessError:
            pass

    def program_ended(self):
        """The program went away in the middle: of its own will, by a signal, or by a limit."""
        until = time.monotonic() + 0.5
        while self.status is None and time.monotonic() < until:
            self.reap()
            time.sleep(0.001)
        status = self.status
        if status is None:
            self.finish('error', 'failed: the program closed its connection to the checks')
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            if number == signal.SIGXCPU:
                self.out_of_time()
            self.finish('killed', 'failed: the program ended by %s' % signal.Signals(number).name)
        self.finish('error', 'failed: the program ended itself with exit code %d' % os.WEXITSTATUS(status))


def main():
    os.chdir('/tmp')
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(name, signal.SIG_IGN)
    job = read_document()
    if os.getpid() != 1:
        ProcessJudge(job).finish('refused', 'the judge is not the first process of the sandbox')
    for name, value in (('RLIMIT_CORE', 0), ('RLIMIT_AS', job['memoryBytes']), ('RLIMIT_NOFILE', job['openFiles'])):
        resource.setrlimit(getattr(resource, name), (int(value), int(value)))

    to_program, to_checks = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(VERDICT)
        os.close(0)
        be_program(job, to_program[0], to_checks[1])
    os.close(to_program[0])
    os.close(to_checks[1])
    judge = ProcessJudge(job)
    judge.child = child
    signal.signal(signal.SIGALRM, judge.alarm)
    signal.setitimer(signal.ITIMER_REAL, job['wallSeconds'])
    peer = Checks(Pipe(to_checks[0], to_program[1], judge.wait), judge)
    checks = read_document()
    null = os.open('/dev/null', os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    judge.judge(checks, peer)


def read_document():
    (size,) = struct.unpack('>I', read_exactly(0, 4))
    return json.loads(read_exactly(0, size))


main()
