/**
 * Kinds of text among documents, found without labels: balanced spherical k-means over tf-idf of token ids, as expert language
 * models are given their shares of a corpus in c-BTM (Gururangan et al. 2023, arXiv 2303.14177).
 */
import { usageError } from '../../errors.ts'
import { createRandom, type Random } from '../../random.ts'
import type { TokenFile } from './token-file.ts'

/** Token ids are counted by their remainder, so that large vocabularies do not take more room than they are worth. */
const features = 4096
const rounds = 20
/** How far a domain's price moves with its load, as a share of the spread of similarities. */
const priceStep = 0.1

/**
 * Which of `count` domains, at most 256, each document is of: numbers from 0 to count - 1. Domains have about as many tokens each, as
 * far as documents differ. The same file, count and seed give the same domains.
 *
 * @throws usage error where there are fewer documents than domains
 */
export async function documentDomains(file: TokenFile, count: number, seed: number): Promise<Uint8Array> {
  if (file.documents < count) {
    throw usageError(
      `${file.name}: ${file.documents} documents are too few for texts of their own for ${count} streams; use more documents or a smaller p`,
      { file: file.name, expected: count, found: file.documents },
    )
  }
  const vectors = await tfIdf(file)
  const sizes = Float64Array.from(file.ends, (end, d) => end - (file.ends[d - 1] ?? 0))
  let centroids = firstCentroids(vectors, count, createRandom(seed))
  let domains = new Uint8Array(vectors.length)
  for (let round = 0; round < rounds; round++) {
    const next = balanced(vectors, centroids, sizes)
    const settled = round > 0 && next.every((domain, d) => domain === domains[d])
    domains = next
    if (settled) break
    centroids = meanVectors(vectors, domains, sizes, centroids)
  }
  return domains
}

/** A document's words as a sparse vector of length 1. */
interface Vector {
  readonly indices: Int32Array
  readonly values: Float64Array
}

/** (1 + ln count) ln(D / documents that have it), normalised. */
async function tfIdf(file: TokenFile): Promise<Vector[]> {
  const counts: Map<number, number>[] = []
  const documentsWith = new Float64Array(features)
  for (let d = 0; d < file.ends.length; d++) {
    const start = file.ends[d - 1] ?? 0
    const { ids } = await file.read(start, file.ends[d]! - start)
    const count = new Map<number, number>()
    for (const id of ids) count.set(id % features, (count.get(id % features) ?? 0) + 1)
    for (const feature of count.keys()) documentsWith[feature]!++
    counts.push(count)
  }
  return counts.map((count) => {
    const indices = Int32Array.from(count.keys())
    const values = Float64Array.from(
      count,
      ([feature, n]) => (1 + Math.log(n)) * Math.log(counts.length / documentsWith[feature]!),
    )
    const length = Math.hypot(...values) || 1
    return { indices, values: values.map((value) => value / length) }
  })
}

const similarity = ({ indices, values }: Vector, centroid: Float64Array): number =>
  indices.reduce((sum, feature, i) => sum + values[i]! * centroid[feature]!, 0)

const dense = ({ indices, values }: Vector): Float64Array => {
  const all = new Float64Array(features)
  for (const [i, feature] of indices.entries()) all[feature] = values[i]!
  return all
}

/** k-means++: each is a document, likelier the less the ones before it are like it. */
function firstCentroids(vectors: readonly Vector[], count: number, random: Random): Float64Array[] {
  const centroids = [dense(vectors[random.below(vectors.length)]!)]
  const distances = new Float64Array(vectors.length).fill(Infinity)
  while (centroids.length < count) {
    for (const [d, vector] of vectors.entries()) {
      distances[d] = Math.min(distances[d]!, Math.max(0, 1 - similarity(vector, centroids.at(-1)!)) ** 2)
    }
    let left = random.uniform() * distances.reduce((a, b) => a + b, 0)
    let chosen = 0
    while (chosen < vectors.length - 1 && left >= distances[chosen]!) left -= distances[chosen++]!
    centroids.push(dense(vectors[chosen]!))
  }
  return centroids
}

/** The most similar domain of each document, at prices that rise where a domain has more tokens than its share. */
function balanced(vectors: readonly Vector[], centroids: readonly Float64Array[], sizes: Float64Array): Uint8Array<ArrayBuffer> {
  const likeness = vectors.map((vector) => centroids.map((centroid) => similarity(vector, centroid)))
  const spread = likeness.reduce((sum, row) => sum + Math.max(...row) - Math.min(...row), 0) / likeness.length
  const fair = sizes.reduce((a, b) => a + b, 0) / centroids.length
  const prices = new Float64Array(centroids.length)
  let domains = new Uint8Array(vectors.length)
  for (let round = 1; round <= 100; round++) {
    domains = Uint8Array.from(likeness, (row) => largest(row.map((value, k) => value - prices[k]!)))
    const loads = new Float64Array(centroids.length)
    for (const [d, domain] of domains.entries()) loads[domain]! += sizes[d]!
    if (loads.every((load) => load > 0.67 * fair && load < 1.5 * fair)) break
    for (const [k, load] of loads.entries())
      prices[k]! += ((priceStep * spread) / Math.sqrt(round)) * Math.min(1, load / fair - 1)
  }
  return domains
}

const largest = (values: readonly number[]): number => values.indexOf(Math.max(...values))

function meanVectors(
  vectors: readonly Vector[],
  domains: Uint8Array,
  sizes: Float64Array,
  before: readonly Float64Array[],
): Float64Array[] {
  const sums = before.map(() => new Float64Array(features))
  for (const [d, { indices, values }] of vectors.entries()) {
    const sum = sums[domains[d]!]!
    for (const [i, feature] of indices.entries()) sum[feature]! += sizes[d]! * values[i]!
  }
  return sums.map((sum, k) => {
    const length = Math.hypot(...sum)
    return length > 0 ? sum.map((value) => value / length) : before[k]!
  })
}
