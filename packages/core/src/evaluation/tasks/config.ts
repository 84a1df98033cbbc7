/**
 * A task's configuration, as lm-evaluation-harness' YAML files spell it (its docs/task_guide.md). Every field is known here: what the
 * harness would run and we do not is refused by name, and so is what it does not know.
 */
import * as z from 'zod'
import { unsupportedError, usageError } from '../../errors.ts'
import { safeParse } from '../../safe-parse.ts'

export const outputTypes = ['multiple_choice', 'loglikelihood', 'loglikelihood_rolling', 'generate_until'] as const
export type OutputType = (typeof outputTypes)[number]

/** `!builtin NAME` in our own files: processing that the harness has as Python. */
export class Builtin {
  readonly name: string
  constructor(name: string) {
    this.name = name
  }
}

/** `!function FILE.NAME`: Python, which is refused wherever it stands. */
export class PythonFunction {
  readonly name: string
  constructor(name: string) {
    this.name = name
  }
}

const builtin = z.instanceof(Builtin)
const split = z.string().nullish()
const document = z.record(z.string(), z.unknown())
const textOf = z.union([z.string(), z.int()])
const targetOf = z.union([z.string(), z.int(), z.array(z.unknown())])
const choiceOf = z.union([z.string(), z.array(z.string()), z.record(z.string(), z.string())])

const metric = z.looseObject({
  metric: z.string(),
  aggregation: z.union([z.string(), builtin]).nullish(),
  higher_is_better: z.boolean().nullish(),
})

const filterList = z.array(z.strictObject({ name: z.string(), filter: z.array(z.looseObject({ function: z.string() })) }))

const generation = z.strictObject({
  until: z.union([z.string(), z.array(z.string())]).nullish(),
  do_sample: z.boolean().nullish(),
  temperature: z.number().nullish(),
  top_p: z.number().nullish(),
  top_k: z.int().nullish(),
  max_gen_toks: z.int().positive().nullish(),
  max_new_tokens: z.int().positive().nullish(),
  max_tokens: z.int().positive().nullish(),
  max_completion_tokens: z.int().positive().nullish(),
})

const fewshot = z.strictObject({
  sampler: z.string().nullish(),
  split: split,
  samples: z.union([z.array(document), builtin]).nullish(),
  fewshot_indices: z.array(z.int().nonnegative()).nullish(),
  doc_to_text: textOf.nullish(),
  doc_to_choice: choiceOf.nullish(),
  doc_to_target: targetOf.nullish(),
  gen_prefix: z.string().nullish(),
  fewshot_delimiter: z.string().nullish(),
  target_delimiter: z.string().nullish(),
})

const schema = z.strictObject({
  task: z.string().min(1),
  task_alias: z.string().nullish(),
  tag: z.union([z.string(), z.array(z.string())]).nullish(),
  dataset_path: z.string().nullish(),
  dataset_name: z.string().nullish(),
  dataset_kwargs: z
    .strictObject({
      data_files: z
        .union([z.string(), z.array(z.string()), z.record(z.string(), z.union([z.string(), z.array(z.string())]))])
        .nullish(),
      data_dir: z.string().nullish(),
      revision: z.string().nullish(),
      field: z.string().nullish(),
      // Nothing that a repository brings along is run, whatever this says.
      trust_remote_code: z.boolean().nullish(),
    })
    .nullish(),
  training_split: split,
  validation_split: split,
  test_split: split,
  fewshot_split: split,
  process_docs: builtin.nullish(),
  doc_to_text: textOf.nullish(),
  doc_to_target: targetOf.nullish(),
  doc_to_choice: choiceOf.nullish(),
  process_results: builtin.nullish(),
  description: z.string().nullish(),
  target_delimiter: z.string().nullish(),
  fewshot_delimiter: z.string().nullish(),
  fewshot_config: fewshot.nullish(),
  num_fewshot: z.int().nonnegative().nullish(),
  metric_list: z.array(metric).nullish(),
  output_type: z.enum(outputTypes).nullish(),
  generation_kwargs: generation.nullish(),
  repeats: z.int().positive().nullish(),
  filter_list: filterList.nullish(),
  gen_prefix: z.string().nullish(),
  metadata: z.looseObject({ version: z.union([z.number(), z.string()]).nullish() }).nullish(),
  // These change no figure.
  should_decontaminate: z.boolean().nullish(),
  doc_to_decontamination_query: z.string().nullish(),
})

/** Fields that the harness has and that nothing here does, with the reason. */
const refused: Readonly<Record<string, string>> = {
  class: 'tasks written in Python do not run here',
  custom_dataset: 'data sets made by Python do not run here',
  use_prompt: 'prompts of promptsource are not supported; write doc_to_text and doc_to_target',
  doc_to_image: 'models here read text only',
  doc_to_audio: 'models here read text only',
}

export type MetricConfig = z.infer<typeof metric>
export type FilterStep = z.infer<typeof filterList>[number]['filter'][number]
export type GenerationConfig = z.infer<typeof generation>
export type TextField = z.infer<typeof textOf>
export type TargetField = z.infer<typeof targetOf>
export type ChoiceField = z.infer<typeof choiceOf>
export type RawConfig = z.infer<typeof schema>

/** How few-shot examples are chosen and written: the task's own fields where it says nothing else. */
export interface FewshotConfig {
  readonly sampler: 'default' | 'first_n'
  readonly split: string | undefined
  readonly samples: readonly Document[] | Builtin | undefined
  readonly indices: readonly number[] | undefined
  readonly text: TextField | undefined
  readonly target: TargetField | undefined
  readonly choice: ChoiceField | undefined
  readonly genPrefix: string | undefined
  readonly targetDelimiter: string
  readonly fewshotDelimiter: string
}

export type Document = Readonly<Record<string, unknown>>

/** A checked configuration with its defaults in place. */
export interface TaskConfig {
  readonly task: string
  readonly alias: string
  readonly tags: readonly string[]
  /** As it stood in the files, for results and to know a changed task by. */
  readonly raw: RawConfig
  /** The file, for errors. */
  readonly file: string
  readonly version: string | number
  readonly outputType: OutputType
  readonly text: TextField | undefined
  readonly target: TargetField | undefined
  readonly choice: ChoiceField | undefined
  readonly description: string
  readonly targetDelimiter: string
  readonly fewshotDelimiter: string
  readonly genPrefix: string | undefined
  readonly numFewshot: number | undefined
  readonly fewshot: FewshotConfig
  readonly generation: GenerationSettings
  readonly repeats: number
}

/** lm_eval.models.utils.normalize_gen_kwargs */
export interface GenerationSettings {
  readonly until: readonly string[]
  readonly maxTokens: number
  /** 0: greedy. */
  readonly temperature: number
  readonly topP: number | undefined
  readonly topK: number | undefined
}

const defaultMaxTokens = 256

/** @param file names the file in errors. @throws usage error for what is wrong, unsupported error for what is not run here */
export function taskConfig(value: Readonly<Record<string, unknown>>, file: string): TaskConfig {
  refusePython(value, file)
  for (const [field, why] of Object.entries(refused)) {
    if (value[field] !== undefined && value[field] !== null)
      throw unsupportedError(`${file}: ${field} is not supported: ${why}`, { file, found: field })
  }
  if (value.unsafe_code)
    throw unsupportedError(`${file}: unsafe_code is not supported: code of tasks does not run here`, { file })
  const { unsafe_code: _, ...known } = value
  const parsed = safeParse(schema, known)
  if (!parsed.success) throw usageError(`${file}: ${issueText(parsed.error)}`, { file })
  return withDefaults(parsed.data, file)
}

export function issueText(error: z.ZodError): string {
  const [issue] = error.issues
  if (!issue) return error.message
  if (issue.code === 'unrecognized_keys') {
    const where = issue.path.length > 0 ? `${issue.path.join('.')}: ` : ''
    return `${where}unknown field ${issue.keys.join(', ')}; see docs/evaluate.md for those there are`
  }
  return `${issue.path.join('.') || 'the file'}: ${issue.message}`
}

function refusePython(value: unknown, file: string, path: readonly (string | number)[] = []): void {
  if (value instanceof PythonFunction) {
    throw unsupportedError(
      `${file}: ${path.join('.')}: !function ${value.name} is Python, which is not run here; write it as a template, or take the task that ships with parscale where there is one`,
      { file, found: value.name },
    )
  }
  if (value instanceof Builtin || typeof value !== 'object' || value === null) return
  for (const [key, item] of Object.entries(value)) refusePython(item, file, [...path, key])
}

function withDefaults(raw: RawConfig, file: string): TaskConfig {
  const own = raw.fewshot_config ?? {}
  const targetDelimiter = raw.target_delimiter ?? ' '
  const fewshotDelimiter = raw.fewshot_delimiter ?? '\n\n'
  const sampler = own.sampler ?? 'default'
  if (sampler !== 'default' && sampler !== 'first_n')
    throw unsupportedError(`${file}: fewshot_config.sampler: ${sampler} is not supported; there are default and first_n`, {
      file,
    })
  const outputType = raw.output_type ?? 'generate_until'
  for (const field of ['doc_to_target', ...(outputType === 'multiple_choice' ? (['doc_to_choice'] as const) : [])] as const) {
    if (raw[field] === undefined || raw[field] === null)
      throw usageError(`${file}: ${field} is missing, which output_type ${outputType} needs`, { file, expected: field })
  }
  if (outputType !== 'loglikelihood_rolling' && (raw.doc_to_text === undefined || raw.doc_to_text === null))
    throw usageError(`${file}: doc_to_text is missing, which output_type ${outputType} needs`, { file, expected: 'doc_to_text' })
  return {
    task: raw.task,
    alias: raw.task_alias ?? raw.task,
    tags: [raw.tag ?? []].flat(),
    raw,
    file,
    version: raw.metadata?.version ?? 'Yaml',
    outputType,
    text: raw.doc_to_text ?? undefined,
    target: raw.doc_to_target ?? undefined,
    choice: raw.doc_to_choice ?? undefined,
    description: raw.description ?? '',
    targetDelimiter,
    fewshotDelimiter,
    genPrefix: raw.gen_prefix ?? undefined,
    numFewshot: raw.num_fewshot ?? undefined,
    fewshot: {
      sampler,
      split: own.split ?? raw.fewshot_split ?? undefined,
      samples: own.samples ?? undefined,
      indices: own.fewshot_indices ?? undefined,
      text: own.doc_to_text ?? raw.doc_to_text ?? undefined,
      target: own.doc_to_target ?? raw.doc_to_target ?? undefined,
      choice: own.doc_to_choice ?? raw.doc_to_choice ?? undefined,
      genPrefix: own.gen_prefix ?? raw.gen_prefix ?? undefined,
      targetDelimiter: own.target_delimiter ?? targetDelimiter,
      fewshotDelimiter: own.fewshot_delimiter ?? fewshotDelimiter,
    },
    generation: generationSettings(raw.generation_kwargs ?? {}, fewshotDelimiter),
    repeats: raw.repeats ?? 1,
  }
}

/** Whether answers are programs, whose metric is pass@k. Nothing judges them but who may run them. */
export const writesPrograms = ({ raw }: TaskConfig): boolean =>
  !raw.process_results && raw.metric_list?.some(({ metric }) => metric === 'pass_at_1' || metric === 'pass_at_k') === true

const lengths = ['max_gen_toks', 'max_new_tokens', 'max_tokens', 'max_completion_tokens'] as const

/** The harness' --gen_kwargs. @throws usage error that names the field */
export function parseGenerationKwargs(value: Readonly<Record<string, unknown>>): GenerationConfig {
  const parsed = safeParse(generation, value)
  if (!parsed.success)
    throw usageError(
      `--gen-kwargs: ${issueText(parsed.error).replace(/; see .*/, '')}; there are ${Object.keys(generation.shape).join(', ')}`,
      {
        flag: 'gen-kwargs',
      },
    )
  const { temperature, do_sample: sample } = parsed.data
  // Whoever asks for a temperature wants it, also of tasks that are greedy by themselves.
  return { ...parsed.data, ...(temperature && sample === undefined && { do_sample: true }) }
}

/**
 * A task with other settings for its texts, which then stand in its results.
 *
 * @param kwargs in place of the task's own, field by field
 * @param numSamples programs of each problem, of a task with pass@k: its k are 1, 10 and 100 then, and its own, of which there are enough
 * @throws usage error where several programs would all be the same
 */
export function overrideGeneration(config: TaskConfig, kwargs: GenerationConfig, numSamples?: number): TaskConfig {
  const { raw, file, task } = config
  const own = { ...raw.generation_kwargs }
  if (lengths.some((name) => kwargs[name] !== undefined)) for (const name of lengths) delete own[name]
  const changed = taskConfig(
    {
      ...raw,
      generation_kwargs: { ...own, ...kwargs },
      ...(numSamples !== undefined && { repeats: numSamples, metric_list: metricsOfSamples(raw, numSamples) }),
    },
    file,
  )
  if (numSamples !== undefined && numSamples > 1 && changed.generation.temperature === 0)
    throw usageError(
      `--num-samples ${numSamples}: ${task} is greedy, so that all programs of a problem would be the same; give --gen-kwargs temperature=0.2,top_p=0.95 or the like as well`,
      { flag: 'num-samples' },
    )
  return changed
}

function metricsOfSamples({ metric_list: list }: RawConfig, numSamples: number): MetricConfig[] {
  const own = list?.flatMap(({ metric, k }) => (metric === 'pass_at_k' ? [k].flat() : [])) as number[]
  const ks = [...new Set([1, 10, 100, ...own])].filter((k) => k <= numSamples).sort((a, b) => a - b)
  return list!.map((each) => {
    // Of one program pass@k has one figure, whatever its name.
    if (each.metric === 'pass_at_k') return { ...each, k: ks }
    return each.metric === 'pass_at_1' && numSamples > 1 ? { ...each, metric: 'pass_at_k', k: ks } : each
  })
}

function generationSettings(kwargs: GenerationConfig, fewshotDelimiter: string): GenerationSettings {
  const { until, do_sample: sample, temperature = 0 } = kwargs
  const drawn = sample === false ? 0 : sample === true && !temperature ? 1 : (temperature ?? 0)
  return {
    // Where nothing is said, the delimiter of examples ends an answer.
    until: until === undefined || until === null ? [fewshotDelimiter] : [until].flat(),
    maxTokens:
      kwargs.max_gen_toks ?? kwargs.max_new_tokens ?? kwargs.max_tokens ?? kwargs.max_completion_tokens ?? defaultMaxTokens,
    temperature: drawn,
    topP: kwargs.top_p ?? undefined,
    topK: kwargs.top_k ?? undefined,
  }
}
