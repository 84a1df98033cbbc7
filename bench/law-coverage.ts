/**
 * How often the bootstrap's 95 % intervals contain the truth: plants the published log law on the published design, adds noise as
 * large as the real residuals (Gaussian, and Laplace with its longer tails), fits, and counts. Prints a table for docs/law.md.
 *
 *   npx tsx bench/law-coverage.ts [datasets=300] [refits=300]
 */
import {
  bootstrap,
  equivalentParameters,
  fitLaw,
  laws,
  lossAt,
  parameterIntervals,
  predictLoss,
  publishedPoints,
} from '../packages/core/src/law/index.ts'
import { createRandom, type Random } from '../packages/core/src/random.ts'

const [datasets, refits] = [Number(process.argv[2] ?? 300), Number(process.argv[3] ?? 300)]
const law = laws.log
const design = publishedPoints('stack-v2-python')
const truth = fitLaw(law, design)
const spread = Math.sqrt(
  truth.residuals.reduce((sum, { point, predicted }) => sum + Math.log(predicted / point.loss) ** 2, 0) / 20,
)

const noises: Record<string, (random: Random) => number> = {
  gaussian: (random) => random.normal(),
  laplace: (random) => (Math.sign(random.uniform() - 0.5) * -Math.log(1 - random.uniform())) / Math.SQRT2,
}
const target = { N: 1571472384, P: 8 }
const questions = ['E', 'A', 'alpha', 'k', 'loss at 1.6B, P = 8', 'N equal to 1.6B, P = 8']

console.log(`${datasets} data sets, ${refits} refits each, noise of ln(loss) ${spread.toPrecision(3)}`)
for (const [name, noise] of Object.entries(noises)) {
  const random = createRandom(1)
  const hits = questions.map(() => 0)
  for (let i = 0; i < datasets; i++) {
    const fit = fitLaw(
      law,
      design.map((point) => ({ ...point, loss: lossAt(law, truth.theta, point) * Math.exp(spread * noise(random)) })),
      [truth.theta],
    )
    const thetas = bootstrap(fit, { count: refits, seed: i })
    const intervals = [
      ...Object.values(parameterIntervals(fit, thetas)),
      predictLoss(fit, target, thetas).interval!,
      equivalentParameters(fit, target, thetas).interval!,
    ]
    const truths = [...truth.theta, lossAt(law, truth.theta, target), equivalentParameters(truth, target).value]
    for (const [j, { low, high }] of intervals.entries()) if (low <= truths[j]! && truths[j]! <= high) hits[j]!++
  }
  for (const [j, question] of questions.entries())
    console.log(`${name.padEnd(9)} ${question.padEnd(24)} ${((100 * hits[j]!) / datasets).toFixed(1)} %`)
}
