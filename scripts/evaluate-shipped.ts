/**
 * Evaluates the model that ships on held-out text, at each P, and writes the tables into docs/evaluate.md between their marks:
 *
 *     npm run evaluate:shipped                        after the model has changed; goes on where it was ended
 *     npm run evaluate:shipped -- --questions 100     fewer questions of each task (300)
 */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { run } from '../packages/parscale/src/cli.ts'
import { shippedTasks, writeTasks } from './shipped-tasks.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const page = `${root}docs/evaluate.md`
const [begin, end] = ['<!-- printed by scripts/evaluate-shipped.ts -->', '<!-- end -->']

const { values } = parseArgs({
  options: {
    questions: { type: 'string', default: '300' },
    p: { type: 'string', default: '1,2,4,8' },
    /** Of the training run, where these are not the defaults: which documents it held out. */
    'held-out': { type: 'string', default: '0.1' },
    'held-out-seed': { type: 'string', default: '0' },
  },
})

const model = `${root}packages/parscale/models/small`
const work = `${root}.cache/shipped-tasks`
const split = { heldOutFraction: Number(values['held-out']), heldOutSeed: Number(values['held-out-seed']) }
const tasks = await shippedTasks(Number(values.questions), split)
const files = writeTasks(tasks, work)
// Another model, or other questions, have another folder.
const hash = createHash('sha256')
for (const file of readdirSync(model, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.safetensors'))
  .sort())
  hash.update(readFileSync(join(model, file)))
const digest = hash.update(JSON.stringify(tasks)).digest('hex').slice(0, 12)
const out = join(work, `results-${digest}`)
process.exitCode = await run([
  ...[
    process.execPath,
    'parscale',
    'eval',
    model,
    '--tasks',
    files.join(','),
    '--p',
    values.p,
    '--out',
    out,
    '--resume',
    '--diagnose',
    '--truncate',
  ],
  ...['--plot', join(work, `results-${digest}.svg`)],
])
if (process.exitCode === 0) {
  const text = readFileSync(page, 'utf8')
  const [from, to] = [text.indexOf(begin), text.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`${page}: has no marks ${begin} and ${end}`)
  const [results, pairs, streams] = readFileSync(join(out, 'table.md'), 'utf8').split('\n\n') as [string, string, string]
  const counts = tasks.map(({ name, docs }) => `${docs.length} of \`${name}\``).join(', ')
  const printed = [
    `Questions: ${counts}.`,
    results,
    'Each P against P = 1 on the same questions:',
    pairs,
    'The streams on the same questions (`--diagnose`):',
    streams.trimEnd(),
  ]
  writeFileSync(page, `${text.slice(0, from + begin.length)}\n${printed.join('\n\n')}\n${text.slice(to)}`)
}
