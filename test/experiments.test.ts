/** Every run of the experiments is one that `parscale train` takes: of P = 1, too, nothing is given that does nothing. */
import { Command } from '@commander-js/extra-typings'
import { recipeNames } from '@parscale/core/internal/training'
import { expect, test } from 'vitest'
import { experiments } from '../experiments/experiments.ts'
import { cells, membersOf, runArguments } from '../experiments/streams/cells.ts'
import { configOf, withRecipe, withValues } from '../packages/parscale/src/commands/train-options.ts'

const studied = cells.flatMap((cell) => {
  const run = { cell, rate: 0.01, seed: 0 }
  return cell.variant.independent ? membersOf(run) : [run]
})
const runs = [
  ...Object.values(experiments).flatMap((experiment) => experiment.runs.map(({ args }) => args)),
  ...studied.map(runArguments),
]

test('each has a configuration', () => {
  expect(runs.length).toBeGreaterThan(50)
  for (const [name, ...args] of runs) {
    const recipe = recipeNames.find((each) => each === name)!
    const flags = withValues(withRecipe(new Command().exitOverride())).parse(args, { from: 'user' }).opts()
    expect(configOf(recipe, flags).stages.at(-1)!.p).toBe(Number(args[args.lastIndexOf('--p') + 1]))
  }
})
