/** Whether an interpreter has what the checks of problems import: without it no program could pass, and nothing would say why. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { usageError } from '@parscale/core/internal'
import type { Problem } from '@parscale/core/internal/evaluation'
import type { Python } from './python.ts'

/** At the left margin, where nothing catches that there is none. */
const imports = /^(?:import[ \t]+([\w., \t]+)|from[ \t]+(\w[\w.]*)[ \t]+import\b)/gm

/** Looked up, not imported; without folders of the user, which the sandbox does not show. */
const lookUp = `
import importlib.util, sys
print(*(name for name in sys.argv[1:] if importlib.util.find_spec(name) is None))
`

/** @throws usage error that names problem and module */
export async function checkModules(python: Python, problems: Iterable<Problem>): Promise<void> {
  const users = new Map<string, string>()
  for (const { taskId, test } of problems) for (const name of importedBy(test)) if (!users.has(name)) users.set(name, taskId)
  if (users.size === 0) return
  const { stdout } = await promisify(execFile)(python.path, ['-I', '-c', lookUp, ...users.keys()], { env: {}, cwd: '/' })
  const [missing] = stdout.trim().split(' ')
  if (missing)
    throw usageError(
      `the checks of ${users.get(missing)} import ${missing}, which ${python.path} does not have; name an interpreter that has it with --python`,
      { flag: 'python', expected: missing },
    )
}

/** Top-level names. */
export const importedBy = (source: string): string[] =>
  [...source.matchAll(imports)].flatMap(([, several, one]) =>
    (several ?? one!)
      .split(',')
      .map((each) => /^\s*(\w+)/.exec(each)?.[1])
      .filter((name) => name !== undefined),
  )
