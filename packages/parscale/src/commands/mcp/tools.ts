/** The tools: what they take, and what they answer. Models stay loaded between calls. */
import { isParscaleError, usageError } from '@parscale/core/internal'
import { scoreIds } from '@parscale/core/internal/evaluation'
import type { TextOptions, TextResult } from '@parscale/core/internal/generation'
import { datasetNames, lawNames, parsePoints } from '@parscale/core/internal/law'
import type { LoadedModel, ModelRegistry } from '@parscale/core/internal/server'
import { z } from 'zod'
import type { NamedModel } from '../../serve/model-names.ts'
import type { Io } from '../../terminal/io.ts'
import { fitReport } from '../fit.ts'
import { fitJson } from '../fit-report.ts'
import { register as inspect } from '../inspect.ts'
import { readPoints } from '../law-options.ts'
import { register as plan } from '../plan.ts'
import { jsonOfCommand } from './json-command.ts'

export interface ToolContext {
  readonly models: readonly NamedModel[]
  readonly registry: ModelRegistry
}

interface ToolAnswer {
  readonly text: string
  readonly structured: Record<string, unknown>
}

interface McpTool {
  readonly name: string
  readonly title: string
  readonly description: string
  readonly input: z.ZodType
  call(args: unknown, io: Io): Promise<ToolAnswer>
}

/** Ties what a tool takes to its schema, which has checked it. */
const tool = <S extends z.ZodType>(
  about: Omit<McpTool, 'input' | 'call'> & { readonly input: S; call(args: z.infer<S>, io: Io): Promise<ToolAnswer> },
): McpTool => ({ ...about, call: (args, io) => about.call(about.input.parse(args), io) })

const inJson = (structured: Record<string, unknown>): ToolAnswer => ({ text: JSON.stringify(structured, null, 1), structured })

const streams = z.int().min(1).optional().describe("Streams to run; 1 is the plain backbone. Default: the model's largest.")

export function tools({ models, registry }: ToolContext): McpTool[] {
  const names = models.map(({ id }) => id)
  const model = z.enum(names).default(names[0]!).describe('A model that is served.')

  /** The model, for as long as a call uses it. */
  async function withModel(id: string, use: (model: LoadedModel) => Promise<ToolAnswer>): Promise<ToolAnswer> {
    const { model, release } = await registry.acquire(id)
    return await use(model).finally(release)
  }

  return [
    tool({
      name: 'generate',
      title: 'Generate text',
      description:
        'Continues a prompt with a local model; with "chat", answers it as a message in the form of the model\'s own chat template.',
      input: z.strictObject({
        prompt: z.string().min(1),
        model,
        chat: z.boolean().default(false).describe('The prompt is a message to answer, not a text to continue.'),
        system: z.string().optional().describe('With "chat": what is said before the conversation.'),
        max_tokens: z.int().min(1).max(32_768).default(256),
        temperature: z.number().min(0).max(2).default(0.7).describe('0 is greedy.'),
        top_p: z.number().gt(0).max(1).optional(),
        stop: z.array(z.string().min(1)).max(16).optional().describe('The text ends before the first of these.'),
        seed: z.int().min(0).optional().describe('The same seed gives the same text. Default: a new one each time.'),
        p: streams,
      }),
      call: ({ prompt, model, chat, system, max_tokens: maxTokens, top_p: topP, seed: given, ...others }, io) =>
        withModel(model, async ({ text }) => {
          const seed = given ?? Math.floor(Math.random() * 2 ** 32)
          const p = others.p ?? text.model.defaultP
          const options: TextOptions = { ...others, p, maxTokens, topP, seed, signal: io.signal }
          const progress = io.progress('generating', 'tokens')
          let done = 0
          const conversation = chat ? text.chat({ p, system }) : undefined
          try {
            const stream = conversation?.send(prompt, options) ?? text.stream(prompt, options)
            let next = await stream.next()
            for (; !next.done; next = await stream.next()) {
              done += next.value.tokens.length
              progress.update(done, maxTokens)
            }
            return { text: next.value.text, structured: { model, p, seed, ...numbersOf(next.value) } }
          } finally {
            progress.end()
            await conversation?.close()
          }
        }),
    }),
    tool({
      name: 'score',
      title: 'Score a text',
      description: "Log-probability (natural) of each token of a text under a local model, the text's loss and its perplexity.",
      input: z.strictObject({ text: z.string().min(1), model, p: streams }),
      call: ({ text: content, model, p }, io) =>
        withModel(model, async ({ text: { tokenizer, engine, model: loaded } }) => {
          const progress = io.progress('scoring', 'tokens')
          const ids = await tokenizer.encodeLong(content, { signal: io.signal })
          const onProgress = (done: number, total: number) => progress.update(done, total)
          const score = await scoreIds(engine, ids, { p, signal: io.signal, onProgress }).finally(() => progress.end())
          const tokens = ids.map((id, t) => ({ id, text: tokenizer.tokenText(id), logProbability: score.logProbabilities[t] }))
          return inJson({ model, p: p ?? loaded.defaultP, loss: score.loss, perplexity: score.perplexity, tokens })
        }),
    }),
    tool({
      name: 'inspect',
      title: 'Inspect a model',
      description: 'Family, shapes, streams, parameters and the memory that a model needs on this machine, without loading it.',
      input: z.strictObject({
        model: z
          .string()
          .min(1)
          .default(names[0]!)
          .describe(`One that is served (${names.join(', ')}), or a folder, a .gguf file or ORG/NAME of the hub's cache.`),
        p: streams,
        context: z.int().min(1).optional().describe('Tokens to plan memory for.'),
        bits: z.literal([4, 8, 32]).optional().describe('As it would be in so many bits.'),
      }),
      call: async ({ model, ...flags }, io) => {
        const served = models.find(({ id }) => id === model)
        const path = served ? served.model : model
        return inJson(await jsonOfCommand(inspect, flags, path === undefined ? [] : [path], io))
      },
    }),
    tool({
      name: 'fit',
      title: 'Fit a scaling law',
      description:
        'Fits a law of loss over parameters N, streams P and, if given, training tokens D: parameters with intervals, residuals, and how other laws compare.',
      input: z.strictObject({
        points: z
          .array(
            z.object({
              N: z.number().positive().describe('Parameters without embeddings.'),
              P: z.number().min(1).describe('Streams.'),
              D: z.number().positive().optional().describe('Training tokens.'),
              loss: z.number().positive(),
            }),
          )
          .max(10_000)
          .optional()
          .describe('What was measured. Without points and file: the published ones.'),
        file: z.string().min(1).optional().describe('CSV or JSON file of such points on this machine.'),
        dataset: z.enum(datasetNames).optional().describe('The published points of a corpus.'),
        law: z.enum(lawNames).optional(),
        bootstrap: z.int().min(0).max(10_000).default(200).describe('Refits for the intervals, 0 for none.'),
        seed: z.int().min(0).default(0),
        level: z.number().gt(0).lt(1).default(0.95).describe('Coverage of the intervals.'),
      }),
      call: async ({ points, file, dataset, ...flags }, io) => {
        const data = points
          ? { source: 'points', dataset: undefined, points: parsePoints(JSON.stringify(points), 'points.json') }
          : await withPointsFile(file, () => readPoints(file, dataset))
        return inJson({ ...fitJson((await fitReport(data, flags, io)).report) })
      },
    }),
    tool({
      name: 'plan',
      title: 'Plan a model',
      description:
        'Which size, P and weight format give the lowest loss on a device within a budget, by the fitted law and the cost of each.',
      input: z.strictObject({
        device: z
          .string()
          .min(1)
          .default('rtx-4090')
          .describe('Such as rtx-4090, a100-80gb, raspberry-pi-5; this-machine measures.'),
        memory: z.string().optional().describe("Budget, such as 4GiB. Default: the device's."),
        time_per_token: z.string().optional().describe('Budget, such as 20ms.'),
        train_flops: z.string().optional().describe('Budget for training, such as 1e21.'),
        streams: z.array(z.int().min(1)).min(1).optional().describe('P to try. Default: 1, 2, 4, 8.'),
        formats: z.array(z.string().min(1)).min(1).optional().describe('Weight formats to try, such as q4_k_m.'),
        batch: z.int().min(1).optional().describe('Requests at a time.'),
        input: z.int().min(1).optional().describe('Prompt tokens.'),
        output: z.int().min(2).optional().describe('Generated tokens.'),
        dataset: z.enum(datasetNames).optional(),
        file: z.string().min(1).optional().describe('CSV or JSON file of points to fit the law to.'),
      }),
      call: async ({ file, time_per_token, train_flops, ...flags }, io) =>
        withPointsFile(file, async () =>
          inJson(
            await jsonOfCommand(
              plan,
              { ...flags, 'time-per-token': time_per_token, 'train-flops': train_flops },
              file === undefined ? [] : [file],
              io,
            ),
          ),
        ),
    }),
  ]
}

/** A caller may point at any file. What the command line says of one that holds no points quotes it; here nothing of it is told. */
async function withPointsFile<T>(file: string | undefined, use: () => Promise<T>): Promise<T> {
  try {
    return await use()
  } catch (error) {
    if (file === undefined || !isParscaleError(error) || error.facts.file !== file || isOfSystem(error.facts.cause)) throw error
    throw usageError(
      `${file}: expected points as CSV or JSON: N, P, loss, optionally D, weight, all greater than 0; parscale fit says what is wrong with it`,
      { file },
    )
  }
}

/** No such file, no right to read it: nothing was read. */
const isOfSystem = (cause: unknown) => cause instanceof Error && 'code' in cause

const numbersOf = ({ promptTokens, tokens, finishReason, stopString }: TextResult) => ({
  ...{ promptTokens, newTokens: tokens.length, finishReason, stopString },
})
