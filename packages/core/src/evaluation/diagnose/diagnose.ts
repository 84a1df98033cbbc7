/** Do the streams work? Texts, and what each stream, their mixtures and their weights do on it. */
import { engineOf, type Reader, type Texts } from '../read-texts.ts'
import { type Alarm, findAlarms } from './alarms.ts'
import { correlateStreams, meanOf, type StreamCorrelation } from './correlation.ts'
import { type MeasureOptions, measureStreams, type StreamMeasurement } from './measure.ts'
import { type WeightStatistics, weightStatistics } from './weights.ts'

/** How a diagnosis is made: streams, progress, abort signal. */
export interface DiagnoseOptions extends MeasureOptions {
  /** The text's entropy E in nats a token, where it is known; default 0. See diagnose-correlation.ts. */
  readonly floor?: number
}

export interface LossFigure {
  /** Mean, in nats a token. */
  readonly loss: number
  /** `loss` minus the aggregate's, token by token the same text. */
  readonly difference: number
  /** Of `difference`, as if tokens were independent. */
  readonly standardError: number
}

/** What streams do on a text: losses alone and mixed, correlation, weights, alarms. */
export interface Diagnosis {
  readonly p: number
  /** Tokens predicted: all but the first of each text. */
  readonly tokens: number
  /** Mean losses; what each is stands in StreamMeasurement. Lists are [P]. */
  readonly losses: {
    readonly aggregate: number
    readonly average: LossFigure
    readonly ensemble: LossFigure
    readonly streams: readonly LossFigure[]
    readonly withoutStream: readonly LossFigure[]
  }
  readonly correlation: StreamCorrelation
  /** Relative distances of the streams' hidden states, [P][P]. */
  readonly distances: readonly (readonly number[])[]
  /** Share of the tokens for which two streams, each alone, would write another token: [P][P]. */
  readonly disagreement: readonly (readonly number[])[]
  readonly weights: WeightStatistics
  readonly alarms: readonly Alarm[]
}

/**
 * Measures on a text what a model's streams do.
 *
 * @throws as measureStreams; usage error for a floor that is not below every stream's loss
 */
export async function diagnose(reader: Reader, texts: Texts, options: DiagnoseOptions = {}): Promise<Diagnosis> {
  const measurement = await measureStreams(reader, texts, options)
  const smoothing = engineOf(reader).model.streamSet(measurement.p)!.config.parscale.attnSmooth
  return diagnosisOf(measurement, smoothing, options.floor)
}

/** The figures from what was measured. @param smoothing e of the aggregation, see WeightStatistics */
export function diagnosisOf(measurement: StreamMeasurement, smoothing: number, floor = 0): Diagnosis {
  const { p, aggregate, distances } = measurement
  const figure = (losses: Float64Array) => lossFigure(losses, aggregate)
  const correlation = correlateStreams(measurement.streams, floor)
  const weights = weightStatistics(measurement.weights, p, smoothing)
  return {
    p,
    tokens: aggregate.length,
    losses: {
      aggregate: meanOf(aggregate),
      average: figure(measurement.average),
      ensemble: figure(measurement.ensemble),
      streams: measurement.streams.map(figure),
      withoutStream: measurement.withoutStream.map(figure),
    },
    correlation,
    distances: distances.map((row) => [...row]),
    disagreement: disagreementOf(measurement.predictions),
    weights,
    alarms: findAlarms(correlation, distances, weights),
  }
}

const disagreementOf = (predictions: readonly Int32Array[]): number[][] =>
  predictions.map((a) => predictions.map((b) => a.reduce((sum, id, t) => sum + Number(id !== b[t]), 0) / a.length))

function lossFigure(losses: Float64Array, aggregate: Float64Array): LossFigure {
  const differences = losses.map((loss, t) => loss - aggregate[t]!)
  const difference = meanOf(differences)
  const variance = differences.reduce((sum, x) => sum + (x - difference) ** 2, 0) / (differences.length - 1)
  return { loss: meanOf(losses), difference, standardError: Math.sqrt(variance / differences.length) }
}
