/** The JSON part of a training checkpoint: position, configuration, history. It is validated when it is read. */
import * as z from 'zod'
import { parseJsonText } from '../../checkpoint/json-text.ts'
import { checkpointError } from '../../errors.ts'
import { safeParse } from '../../safe-parse.ts'

const count = z.number().int().nonnegative()

const trainerPosition = z.object({
  /** Steps over all stages. */
  step: count,
  /** The stage that the arrays belong to. */
  stage: count,
  /** Updates that the moments have seen. */
  updates: count,
  /** Tokens predicted so far. */
  tokens: count,
  losses: z.object({ count, mean: z.number(), variance: z.number() }),
})
export type TrainerPosition = Readonly<z.infer<typeof trainerPosition>>

const savedRun = z.object({
  position: trainerPosition,
  loop: z.object({
    /** Step of the last evaluation; -1: there was none. */
    evaluatedAt: z.number().int().min(-1),
    /** Of all stages and sessions. */
    trainingSeconds: z.number().nonnegative(),
  }),
  /** What of data and frozen backbone has to be the same for a run to go on. */
  data: z.record(z.string(), z.union([z.number(), z.string()])),
})
export type SavedRun = Readonly<z.infer<typeof savedRun>>

/** Of a parameter. */
interface Saved {
  readonly name: string
  readonly shape: readonly number[]
}

/**
 * That a checkpoint is of the run's configuration. Of one that was changed the run would go on as another, or a model be written
 * that nobody trained.
 *
 * @param trained what the checkpoint's stage trains
 * @param where the checkpoint, for messages
 * @throws checkpoint error naming a parameter that one of the two lacks, or that has another shape
 */
export function requireTrained(saved: readonly Saved[], trained: readonly Saved[], where: string): void {
  const [found, wanted] = [saved, trained].map((list) => new Map(list.map(({ name, shape }) => [name, String(shape)])))
  const name = [...wanted!.keys(), ...found!.keys()].find((each) => found!.get(each) !== wanted!.get(each))
  if (name === undefined) return
  const [has, asks] = [found, wanted].map((shapes) => shapes!.get(name))
  const what =
    has === undefined
      ? `has no ${name}, which config.json of the run asks for`
      : `has ${name} of shape [${has}], ${asks === undefined ? 'of which config.json of the run knows nothing' : `config.json of the run asks for [${asks}]`}`
  throw checkpointError(
    `${where} ${what}; write streams, shape and stages there as they were when it was saved, or begin a new run`,
    { file: where, tensor: name, expected: asks, found: has },
  )
}

const finalEvaluation = z.object({
  loss: z.number(),
  tokens: count,
  /** Per held-out sequence. */
  nats: z.array(z.number()),
  counts: z.array(count),
  /** Number of the document that a sequence begins in. Runs of earlier versions have none. */
  documents: z.array(count).optional(),
})
/** evaluation.json: the losses of all held-out sequences at the end, which paired comparisons of runs need. */
export type FinalEvaluation = z.infer<typeof finalEvaluation>

/** @param where the checkpoint, for messages. @throws checkpoint error naming what is missing or wrong */
export const parseSavedRun = (state: unknown, where: string): SavedRun => parse(savedRun, state, where)

/** @param where the file, for messages. @throws as parseSavedRun; also for lists of different lengths */
export function parseFinalEvaluation(text: string, where: string): FinalEvaluation {
  const parsed = parse(finalEvaluation, parseJsonText(text, where), where)
  const { nats, counts, documents = counts } = parsed
  if (nats.length === counts.length && documents.length === counts.length) return parsed
  const found = `${nats.length} nats, ${counts.length} counts and ${documents.length} documents`
  throw checkpointError(`${where}: has ${found}, one of each is expected per sequence`, { file: where })
}

const metrics = z.looseObject({ kind: z.string(), step: count, tokens: z.number().optional() })

/** metrics.jsonl, a record a line. @throws as parseSavedRun, naming the line */
export const parseMetrics = (text: string, where: string): z.infer<typeof metrics>[] =>
  text.split('\n').flatMap((line, i) => {
    const at = `${where}, line ${i + 1}`
    return line === '' ? [] : [parse(metrics, parseJsonText(line, at), at)]
  })

function parse<T>(schema: z.ZodType<T>, value: unknown, where: string): T {
  const parsed = safeParse(schema, value)
  if (parsed.success) return parsed.data
  const { path, message } = parsed.error.issues[0]!
  throw checkpointError(`${where} is damaged: ${path.join('.') || 'it'}: ${message}`, { file: where })
}
