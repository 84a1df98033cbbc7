/** Tasks that write programs, with answers that a model may have written: what lm_eval asks and what it makes of them. */
import type { Document } from '@parscale/core/internal/evaluation/tasks'
import type { PeerRun } from './peer-runs.ts'

export interface CodeRun extends PeerRun {
  /** By question; of a task that repeats, by repeat. */
  readonly texts: readonly (string | readonly string[])[]
}

const functionDocs = [
  {
    task_id: 'Own/0',
    prompt:
      'from typing import List\n\n\ndef twice(xs: List[int]) -> List[int]:\n    """ Twice each of "xs".\n    >>> twice([1, 2])\n    [2, 4]\n    """\n',
    entry_point: 'twice',
    canonical_solution: '    return [2 * x for x in xs]\n',
    test: "\n\nMETADATA = {'author': 'own'}\n\n\ndef check(candidate):\n    assert candidate([1, 2]) == [2, 4]\n",
  },
  {
    task_id: 'Own/1',
    prompt: "\ndef öffne(tür):\n    '''Opens {{tür}}, 100 % of {% it %}\\n'''\n",
    entry_point: 'öffne',
    canonical_solution: "    return tür + ' offen'\n",
    test: "def check(candidate):\n    assert candidate('a') == 'a offen'\n",
  },
  {
    task_id: 'Own/2',
    prompt: 'def f(x):\n\t"""One more,   with a tab and trailing white space.   """\n\t\n',
    entry_point: 'f',
    canonical_solution: '\treturn x + 1',
    test: 'def check(candidate):\n    assert candidate(1) == 2',
  },
]

const statementDocs = [
  {
    task_id: 11,
    text: 'Write a function to remove first and last occurrence of a "character".',
    code: 'def cut(s, c):\r\n  return s.strip(c)',
    test_list: ['assert cut("hello","l") == "heo"', 'assert cut("abcda","a") == "bcd"', "assert cut('PHP','P') == 'H'"],
    test_setup_code: '',
    challenge_test_list: ['assert cut("x","x") == ""'],
  },
  {
    task_id: 12,
    text: 'Sort {{a}} matrix\nby 100 % of its rows.',
    code: 'def rows(m):\n    return sorted(m, key=sum)',
    test_list: ['assert rows([[1]]) == [[1]]', 'assert rows([]) == []', 'assert rows([[2],[1]])==[[1],[2]] ', 'assert True'],
    test_setup_code: 'import math',
    challenge_test_list: [],
  },
]
const plusDocs = statementDocs.map(({ text, challenge_test_list: _, test_setup_code: __, ...doc }) => ({
  ...doc,
  prompt: text,
  test_imports: [],
  test: doc.test_list.join('\n'),
}))

/** Answers around a right one: bare, in blocks that end or do not, with talk and further functions. */
export const answersAround = (code: string): string[] => [
  code,
  `${code}\n\`\`\`\nThis adds them. \`\`\`python\nprint(1)\n\`\`\``,
  `\n${code}\n\`\`\``,
  `python\n${code}\n\`\`\``,
  `Sure:\n\`\`\`python\n${code}\n\`\`\`\nDone`,
  `\`\`\`python\n${code}`,
  `\`\`\`\n${code}\n\n\`\`\``,
  `${code}\n# Test\nprint(f(1))`,
  `${code}\r\n[DONE]\n\n`,
  '',
  '```',
  '\n\n``` ```\n',
]

/** Each question with each answer, under an id of its own. */
function runOf(task: string, docs: readonly Document[], code: (doc: never) => string): CodeRun {
  const pairs = docs.flatMap((doc, d) =>
    answersAround(code(doc as never)).map((text, i) => ({
      doc: { ...doc, task_id: typeof doc.task_id === 'number' ? 100 * d + i + 11 : `${doc.task_id}/${i}` },
      text,
    })),
  )
  return { task, docs: { test: pairs.map(({ doc }) => doc) }, texts: pairs.map(({ text }) => text) }
}

const canonical = ({ canonical_solution: code }: { canonical_solution: string }) => code
const own = ({ code }: { code: string }) => code

export const codeRuns = (): CodeRun[] => [
  runOf('humaneval', functionDocs, canonical),
  runOf('humaneval_plus', functionDocs, canonical),
  runOf('humaneval_instruct', functionDocs, canonical),
  {
    task: 'humaneval_64',
    docs: { test: functionDocs },
    texts: functionDocs.map((doc) => Array.from({ length: 64 }, (_, i) => `${canonical(doc)}# ${i}`)),
  },
  runOf('mbpp', statementDocs, own),
  // The examples that a task has are its own, also where fewer are asked for.
  { ...runOf('mbpp', statementDocs, own), num_fewshot: 1 },
  runOf('mbpp_plus', plusDocs, own),
  runOf('mbpp_instruct', statementDocs, own),
]
