/** Which of a data set's splits hold a task's questions and its examples, as lm-evaluation-harness chooses them. */
import { unsupportedError, usageError } from '../../errors.ts'
import { documentProcessing } from './builtin/index.ts'
import { Builtin, type Document, type TaskConfig } from './config.ts'
import type { TaskData } from './requests.ts'

/** A split's documents. @throws usage error for a split that the data set does not have */
export type ReadSplit = (split: string) => Promise<readonly Document[]>

/** @param withExamples false: none are needed, so that their split is not read */
export async function taskData(config: TaskConfig, readSplit: ReadSplit, withExamples: boolean): Promise<TaskData> {
  const { raw, task, file, fewshot } = config
  const process = raw.process_docs ? documentProcessing(raw.process_docs.name, file) : (doc: Document) => doc
  const read = async (split: string) => (await readSplit(split)).map(process)
  const questionSplit = raw.test_split ?? raw.validation_split
  if (!questionSplit)
    throw usageError(`${task}: ${file} names neither test_split nor validation_split`, { file, expected: 'test_split' })
  const questions = await read(questionSplit)
  if (!withExamples) return { questions, examples: [] }
  if (fewshot.split !== undefined) return { questions, examples: await read(fewshot.split) }
  if (fewshot.samples instanceof Builtin)
    throw unsupportedError(`${file}: fewshot_config.samples: write the examples themselves`, { file })
  if (fewshot.samples) return { questions, examples: fewshot.samples }
  const exampleSplit = raw.training_split ?? raw.validation_split
  return { questions, examples: exampleSplit ? await read(exampleSplit) : questions }
}

/** Whether a task's questions come with examples. */
export const wantsExamples = ({ numFewshot }: TaskConfig, asked: number | undefined): boolean =>
  numFewshot !== 0 && (asked ?? numFewshot ?? 0) > 0
