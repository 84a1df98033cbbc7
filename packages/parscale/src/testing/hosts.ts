/**
 * Several computers on this one (root only): namespaces of network, names and processes, joined by a bridge. Each has a disk of its own at
 * one path, and sees everything else.
 */
import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import type { Launcher } from './worker-runs.ts'

export interface Hosts {
  readonly names: readonly string[]
  /** Where each has its own disk. */
  readonly disk: string
  /** That of one of them, as all see it. */
  diskOf(name: string): string
  /** What a command on it begins with. */
  on(name: string): string[]
  /** On which one a process runs. */
  nameOf(pid: number): string | undefined
  /** mpirun on the first one, with a worker on each in turn; tasks are started by an agent in place of ssh. */
  readonly mpirun: Launcher
  remove(): void
}

export function startHosts(scratch: string, count: number): Hosts {
  const names = Array.from({ length: count }, (_, i) => `node${i + 1}`)
  const space = (name: string) => `parscale-${process.pid}-${name}`
  const address = (name: string) => `10.78.0.${names.indexOf(name) + 1}`
  const disk = join(scratch, 'disk')
  const diskOf = (name: string) => join(scratch, 'disks', name)
  const bootOf = (name: string) => join(scratch, 'boots', name)
  const on = (name: string) => [
    ...['ip', 'netns', 'exec', space(name), 'unshare', '--uts', '--pid', '--fork', '--kill-child', '--mount-proc'],
    // Numbers of namespaces are used again, those of boots are not: by them a lock tells computers apart.
    ...[
      'sh',
      '-c',
      `hostname ${name} && mount --bind ${bootOf(name)} /proc/sys/kernel/random/boot_id && mount --bind ${diskOf(name)} ${disk} && exec "$@"`,
      'sh',
    ],
  ]
  const ip = (...words: string[]) => execFileSync('ip', words, { stdio: ['ignore', 'ignore', 'inherit'] })
  const remove = () => {
    for (const name of ['bridge', ...names])
      try {
        execFileSync('ip', ['netns', 'del', space(name)], { stdio: 'ignore' })
      } catch {} // was not made
  }
  for (const folder of [disk, join(scratch, 'boots')]) mkdirSync(folder, { recursive: true })
  for (const name of names) writeFileSync(bootOf(name), `${randomUUID()}\n`)
  try {
    ip('netns', 'add', space('bridge'))
    ip('-n', space('bridge'), 'link', 'add', 'switch', 'type', 'bridge')
    ip('-n', space('bridge'), 'link', 'set', 'switch', 'up')
    for (const name of names) {
      mkdirSync(diskOf(name), { recursive: true })
      ip('netns', 'add', space(name))
      ip('-n', space(name), 'link', 'set', 'lo', 'up')
      ip('-n', space(name), 'link', 'add', 'net0', 'type', 'veth', 'peer', 'name', name, 'netns', space('bridge'))
      ip('-n', space('bridge'), 'link', 'set', name, 'master', 'switch', 'up')
      ip('-n', space(name), 'addr', 'add', `${address(name)}/24`, 'dev', 'net0')
      ip('-n', space(name), 'link', 'set', 'net0', 'up')
    }
  } catch (error) {
    remove()
    throw error
  }
  const quoted = (words: readonly string[]) => words.map((word) => `'${word}'`).join(' ')
  const agent = join(scratch, 'agent.sh')
  const cases = names.map((name) => `  ${address(name)}) exec ${quoted(on(name))} sh -c "$*" ;;`)
  writeFileSync(agent, `#!/bin/sh\nhost=$1\nshift\ncase $host in\n${cases.join('\n')}\nesac\nexit 1\n`, { mode: 0o755 })
  const mca = {
    plm_rsh_agent: agent,
    btl: 'tcp,self',
    btl_tcp_if_include: '10.78.0.0/24',
    oob_tcp_if_include: '10.78.0.0/24',
  }
  const command = [
    ...[...on(names[0]!), 'mpirun', '--oversubscribe', '--map-by', 'node', '--host', names.map(address).join(',')],
    ...Object.entries(mca).flatMap(([name, value]) => ['--mca', name, value]),
  ]
  const nameOf = (pid: number) => {
    const found = execFileSync('ip', ['netns', 'identify', String(pid)], { encoding: 'utf8' }).trim()
    return names.find((name) => space(name) === found)
  }
  return { names, disk, diskOf, on, nameOf, mpirun: { command }, remove }
}
