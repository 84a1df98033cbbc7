/** The command that repeats a run, made from its configuration: the recipe, and whatever differs from it and does something. */
import { type RecipeName, type RunConfig, recipeNames, recipes, unusedKeys } from '@parscale/core/internal/training'

/** @param shorten how paths are written, such as relative to the current folder */
export function runCommand(config: RunConfig, shorten: (path: string) => string = (path) => path): string {
  const { recipe, data, base, stages, seed } = config
  if (!recipeNames.includes(recipe as RecipeName)) return `# the recipe ${recipe} is not known to this version`
  const [first, second] = stages
  const unused = unusedKeys(config).map(({ key }) => `${key}=`)
  const isUsed = (setting: string) => !unused.some((each) => setting.startsWith(each))
  const options = {
    data: data.files,
    base: base ?? undefined,
    p: stages.at(-1)!.p,
    steps: first!.steps,
    secondSteps: second?.steps,
    learningRate: first!.learningRate,
    seed,
  }
  const words = [
    'parscale train',
    recipe,
    ...data.files.flatMap((file) => ['--data', quoted(shorten(file))]),
    ...(base === null ? [] : ['--model', quoted(shorten(base))]),
    ...['--p', options.p, '--steps', options.steps],
    ...(second ? ['--second-steps', second.steps] : []),
    ...['--learning-rate', options.learningRate, '--seed', seed],
    ...differences(recipes[recipe as RecipeName](options), config, '')
      .filter(isUsed)
      .flatMap((setting) => ['--set', quoted(setting)]),
    '--out RUN',
  ]
  return words.join(' ')
}

type Json = unknown

/** `path=value` for each leaf of `found` that is another one in `expected`; as a whole where their shapes differ. */
function differences(expected: Json, found: Json, path: string): string[] {
  const [a, b] = [branches(expected), branches(found)]
  if (path === '' || (a && b && Object.keys(a).join() === Object.keys(b).join())) {
    return Object.keys(b!).flatMap((key) => differences(a![key], b![key], path === '' ? key : `${path}.${key}`))
  }
  return JSON.stringify(expected) === JSON.stringify(found) ? [] : [`${path}=${JSON.stringify(found)}`]
}

const branches = (value: Json): Record<string, Json> | undefined =>
  typeof value === 'object' && value !== null ? (value as Record<string, Json>) : undefined

/** A word of a shell command. */
const quoted = (word: string): string => (/^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)
