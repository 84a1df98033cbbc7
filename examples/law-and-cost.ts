/** What eight streams are worth and what they cost: pure arithmetic, the same in a browser. */
import { deviceCost, deviceNamed, publishedModel } from '@parscale/core/cost'
import { equivalentParameters, fitLaw, laws, publishedPoints } from '@parscale/core/law'

const fit = fitLaw(laws.log, publishedPoints('stack-v2-python'))
const { value } = equivalentParameters(fit, { N: 1.6e9, P: 8 })
console.log(`1.6B with P = 8 has the loss of ${(value / 1e9).toFixed(2)}B with P = 1`)

const { shape } = publishedModel('1.6B')
for (const P of [1, 8]) {
  const workload = { P, batch: 1, inputTokens: 128, outputTokens: 128 }
  const cost = deviceCost(shape, workload, deviceNamed('rtx-4090'), { weightBits: 4.5, kvBits: 16 })
  console.log(`P = ${P}: ${(cost.memoryBytes / 2 ** 30).toFixed(2)} GiB, ${(cost.secondsPerToken! * 1e3).toFixed(2)} ms a token`)
}
