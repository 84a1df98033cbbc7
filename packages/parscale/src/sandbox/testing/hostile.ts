/** The programs of fixtures/hostile. */
import { readFileSync } from 'node:fs'

export interface HostileProgram {
  readonly name: string
  readonly program: string
}

const file = new URL('../../../../../fixtures/hostile/programs.txt', import.meta.url)

/** @param places what stands for CANARY, HOSTPID and HOSTPORT */
export function hostilePrograms(places: Readonly<Record<string, string>>): HostileProgram[] {
  const blocks = readFileSync(file, 'utf8').split(/^%% /m).slice(1)
  return blocks.flatMap((block) => {
    const end = block.indexOf('\n')
    const [head, body] = [block.slice(0, end), block.slice(end + 1)]
    const [, name = head, list] = /^(.*?) ?\{(.*)\}$/.exec(head) ?? []
    return (list?.split('|') ?? ['']).map((variant) => {
      let program = body.replaceAll('@@', variant)
      for (const [place, value] of Object.entries(places)) program = program.replaceAll(place, value)
      return { name: `${name} ${variant}`.trim(), program }
    })
  })
}
