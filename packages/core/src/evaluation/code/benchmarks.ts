/** How a model is asked to write code, and where its answer ends: one row for each of the field's benchmarks. */
import { usageError } from '../../errors.ts'
import type { Problem } from './problems.ts'

export interface CodeBenchmark {
  readonly name: string
  /** Where prompt and stop sequences come from. */
  readonly source: string
  /** The data set on the hub. Its plus sets have the same prompts and more checks. */
  readonly dataset: string
  readonly split: string
  /** What a base model continues. */
  readonly prompt: (problem: Problem) => string
  /** Generation ends before the first of them. */
  readonly stop: readonly string[]
}

const codex = {
  source: 'arXiv 2107.03374, section 2.1',
  prompt: ({ prompt }: Problem) => prompt,
  // A second class, function, comment, condition or print at the left margin: the function is over.
  stop: ['\nclass', '\ndef', '\n#', '\nif', '\nprint'],
}
const austin = {
  source: 'arXiv 2108.07732, section 3, without examples',
  prompt: ({ prompt, statements }: Problem) =>
    `You are an expert Python programmer, and here is your task: ${prompt} Your code should pass these tests:\n\n${statements.join('\n')}\n[BEGIN]\n`,
  stop: ['[DONE]', '\n[BEGIN]'],
}

export const codeBenchmarks: readonly CodeBenchmark[] = [
  { name: 'humaneval', dataset: 'openai/openai_humaneval', split: 'test', ...codex },
  { name: 'humaneval_plus', dataset: 'evalplus/humanevalplus', split: 'test', ...codex },
  { name: 'mbpp', dataset: 'google-research-datasets/mbpp', split: 'test', ...austin },
  { name: 'mbpp_plus', dataset: 'evalplus/mbppplus', split: 'test', ...austin },
]

/** @throws usage error that lists the names */
export function codeBenchmark(name: string): CodeBenchmark {
  const found = codeBenchmarks.find((each) => each.name === name)
  if (found) return found
  throw usageError(`code: there is no benchmark "${name}"; there are ${codeBenchmarks.map((each) => each.name).join(', ')}`)
}

/** For chat models: the request that makes them answer with one block of code. */
export const codeRequest = (benchmark: CodeBenchmark, problem: Problem): string =>
  `Write Python code for this task. Answer with the whole code in one Markdown code block, and nothing else.\n\n\`\`\`python\n${benchmark.prompt(problem).trim()}\n\`\`\`\n`
