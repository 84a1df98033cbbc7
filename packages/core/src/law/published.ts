/**
 * The measurements behind the paper's law: six sizes, four P, two corpora, each model trained on 42 billion tokens.
 * Losses and the fitted parameters: ParScale (arXiv 2505.10475), Table 1 and appendix; N is counted for that very model,
 * with its aggregation and prefixes (cost/parameters.ts has the formula, and its test reproduces these counts).
 */
import type { Point } from './points.ts'

/** The names of the published data sets. */
export const datasetNames = ['stack-v2-python', 'pile'] as const
/** The names of the published data sets. */
export type DatasetName = (typeof datasetNames)[number]

/** Tokens that every model saw: 20,000 steps of 1024 x 2048. */
export const publishedTokens = 20_000 * 1024 * 2048

const streams = [1, 2, 4, 8]

/** Non-embedding parameters; a row per P, a column per size. */
const parameters = [
  [535813376, 693753856, 1088376320, 1571472384, 2774773760, 4353203200],
  [538195842, 696738818, 1092762882, 1577522690, 2784937986, 4368529922],
  [540577412, 699722756, 1097148164, 1583571460, 2795100164, 4383854084],
  [545340552, 705690632, 1105918728, 1595669000, 2815424520, 4414502408],
]

const losses: Readonly<Record<DatasetName, readonly (readonly number[])[]>> = {
  'stack-v2-python': [
    [1.1722, 1.1496, 1.1131, 1.0817, 1.0451, 1.0213],
    [1.1507, 1.1262, 1.094, 1.0623, 1.0244, 1.0025],
    [1.1354, 1.1124, 1.0808, 1.049, 1.0126, 0.9906],
    [1.1231, 1.0997, 1.0688, 1.0383, 1.0016, 0.9794],
  ],
  pile: [
    [2.1113, 2.0671, 2.0027, 1.9539, 1.8876, 1.8451],
    [2.0772, 2.0363, 1.973, 1.9266, 1.861, 1.8137],
    [2.0544, 2.0128, 1.9509, 1.904, 1.8394, 1.7938],
    [2.0364, 1.9933, 1.9318, 1.8856, 1.8218, 1.7772],
  ],
}

/** The paper's own fits of the log law, as printed. A in parameters. */
export const publishedFits: Readonly<Record<DatasetName, Readonly<Record<'E' | 'A' | 'alpha' | 'k' | 'r2', number>>>> = {
  'stack-v2-python': { E: 0.6912, A: 1.131e7, alpha: 0.1894, k: 0.3935, r2: 0.9978 },
  pile: { E: 1.2888, A: 1.974e8, alpha: 0.1963, k: 0.3345, r2: 0.9987 },
}

/** The 24 points of a corpus, P by P. */
export function publishedPoints(dataset: DatasetName): Point[] {
  return streams.flatMap((P, row) => parameters[row]!.map((N, column) => ({ N, P, loss: losses[dataset][row]![column]! })))
}
