/**
 * The filter of system calls for judged programs: a list of calls that fail, the rest passes. Namespaces keep the machine away
 * already; this takes the doors in the kernel that no answer to a task needs, and with them memory that no limit counts.
 *
 * A classic BPF program over `struct seccomp_data`, as seccomp(2) describes it: bubblewrap reads it from a descriptor.
 */
import process from 'node:process'

interface Machine {
  /** AUDIT_ARCH of <linux/audit.h>. */
  readonly audit: number
  /** The column of `denied`. */
  readonly column: 1 | 2
}

const machines: Partial<Record<NodeJS.Architecture, Machine>> = {
  x64: { audit: 0xc000003e, column: 1 },
  arm64: { audit: 0xc00000b7, column: 2 },
}

/** Name, number on x86-64, number on arm64 (asm/unistd_64.h, asm-generic/unistd.h); 0 where there is none. */
const denied: readonly (readonly [string, number, number])[] = [
  // other processes
  ['ptrace', 101, 117],
  ['process_vm_readv', 310, 270],
  ['process_vm_writev', 311, 271],
  ['kcmp', 312, 272],
  ['pidfd_open', 434, 434],
  ['pidfd_getfd', 438, 438],
  ['pidfd_send_signal', 424, 424],
  ['process_madvise', 440, 440],
  // namespaces and mounts
  ['unshare', 272, 97],
  ['setns', 308, 268],
  ['mount', 165, 40],
  ['umount2', 166, 39],
  ['pivot_root', 155, 41],
  ['chroot', 161, 51],
  ['open_tree', 428, 428],
  ['move_mount', 429, 429],
  ['fsopen', 430, 430],
  ['fsconfig', 431, 431],
  ['fsmount', 432, 432],
  ['fspick', 433, 433],
  ['mount_setattr', 442, 442],
  ['name_to_handle_at', 303, 264],
  ['open_by_handle_at', 304, 265],
  // networks: the namespace has none, and sockets between processes have socketpair
  ['socket', 41, 198],
  // memory that belongs to no process
  ['memfd_create', 319, 279],
  ['memfd_secret', 447, 447],
  ['shmget', 29, 194],
  ['shmat', 30, 196],
  ['msgget', 68, 186],
  ['semget', 64, 190],
  ['mq_open', 240, 180],
  ['add_key', 248, 217],
  ['request_key', 249, 218],
  ['keyctl', 250, 219],
  // large doors into the kernel
  ['bpf', 321, 280],
  ['perf_event_open', 298, 241],
  ['userfaultfd', 323, 282],
  ['io_uring_setup', 425, 425],
  ['io_uring_enter', 426, 426],
  ['io_uring_register', 427, 427],
  ['fanotify_init', 300, 262],
  ['personality', 135, 92],
  ['modify_ldt', 154, 0],
  ['iopl', 172, 0],
  ['ioperm', 173, 0],
  // the machine itself
  ['acct', 163, 89],
  ['adjtimex', 159, 171],
  ['clock_adjtime', 305, 266],
  ['clock_settime', 227, 112],
  ['delete_module', 176, 106],
  ['finit_module', 313, 273],
  ['init_module', 175, 105],
  ['kexec_file_load', 320, 294],
  ['kexec_load', 246, 104],
  ['quotactl', 179, 60],
  ['reboot', 169, 142],
  ['setdomainname', 171, 162],
  ['sethostname', 170, 161],
  ['settimeofday', 164, 170],
  ['swapoff', 168, 225],
  ['swapon', 167, 224],
  ['syslog', 103, 116],
]

const [EPERM, ENOSYS] = [1, 38]
const ret = { allow: 0x7fff0000, kill: 0x80000000, errno: (code: number) => 0x00050000 | code }
// The fields of struct seccomp_data.
const [number, architecture] = [0, 4]
const argument = (i: number): number => 16 + 8 * i // its low half

type Instruction = readonly [code: number, whenTrue: number, whenFalse: number, k: number]
const load = (offset: number): Instruction => [0x20, 0, 0, offset]
const equal = (k: number, whenTrue: number, whenFalse: number): Instruction => [0x15, whenTrue, whenFalse, k]
const atLeast = (k: number, whenTrue: number, whenFalse: number): Instruction => [0x35, whenTrue, whenFalse, k]
const anyBit = (k: number, whenTrue: number, whenFalse: number): Instruction => [0x45, whenTrue, whenFalse, k]
const end = (k: number): Instruction => [0x06, 0, 0, k]

/** Call `nr` fails with EPERM where the test of its argument holds. */
const whenArgument = (nr: number, i: number, test: Instruction): Instruction[] => [
  equal(nr, 0, 4),
  load(argument(i)),
  test,
  end(ret.errno(EPERM)),
  load(number),
]

/** @returns the filter for this machine, or undefined where its numbers of calls are not known here */
export function seccompFilter(arch: NodeJS.Architecture = process.arch): Buffer | undefined {
  const machine = machines[arch]
  if (!machine) return undefined
  const x64 = machine.column === 1
  const program: Instruction[] = [
    load(architecture),
    equal(machine.audit, 1, 0),
    end(ret.kill), // calls of another architecture have other numbers
    load(number),
    // x32 as well: the same calls under numbers of their own.
    ...(x64 ? [atLeast(0x40000000, 0, 1), end(ret.kill)] : []),
    // Its flags are behind a pointer. The C library then takes clone.
    equal(435, 0, 1),
    end(ret.errno(ENOSYS)),
    ...denied.flatMap((row) => (row[machine.column] ? [equal(row[machine.column], 0, 1), end(ret.errno(EPERM))] : [])),
    // clone with any CLONE_NEW...
    ...whenArgument(x64 ? 56 : 220, 0, anyBit(0x7e020000, 0, 1)),
    // Limits of another process: prlimit64
    ...whenArgument(x64 ? 302 : 261, 0, anyBit(0xffffffff, 0, 1)),
    // Typing into a terminal: TIOCSTI, TIOCLINUX
    ...whenArgument(x64 ? 16 : 29, 1, equal(0x5412, 0, 1)),
    ...whenArgument(x64 ? 16 : 29, 1, equal(0x541c, 0, 1)),
    end(ret.allow),
  ]
  const bytes = Buffer.alloc(8 * program.length)
  program.forEach(([code, whenTrue, whenFalse, k], i) => {
    bytes.writeUInt16LE(code, 8 * i)
    bytes.writeUInt8(whenTrue, 8 * i + 2)
    bytes.writeUInt8(whenFalse, 8 * i + 3)
    bytes.writeUInt32LE(k >>> 0, 8 * i + 4)
  })
  return bytes
}
