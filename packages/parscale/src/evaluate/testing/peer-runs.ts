/** What is run with lm_eval and with us: the tasks of fixtures/evaluation, and those that ship, on documents of our own. */
import { fileURLToPath } from 'node:url'

/** Options by lm_eval's names. */
export interface PeerRun {
  /** A file, or a task of lm_eval's own with `docs`. */
  readonly task: string
  readonly docs?: Readonly<Record<string, readonly Readonly<Record<string, unknown>>[]>>
  readonly num_fewshot?: number
  readonly limit?: number
  readonly seed?: number
  readonly chat?: boolean
  readonly multiturn?: boolean
}

export const fixtureFolder = fileURLToPath(new URL('../../../../../fixtures/evaluation/', import.meta.url))
const file = (name: string) => `${fixtureFolder}${name}.yaml`

/** Each kind of output, with other numbers of examples and other seeds. */
export const localRuns = (): PeerRun[] => [
  { task: file('questions') },
  { task: file('questions'), num_fewshot: 0, limit: 5 },
  { task: file('letters'), seed: 7 },
  { task: file('blanks') },
  { task: file('endings') },
  { task: file('pages') },
  { task: file('sums') },
]

/** With a chat template, for models that have one. */
export const chatRuns = (): PeerRun[] => [
  { task: file('questions'), chat: true },
  { task: file('letters'), chat: true, multiturn: true },
  { task: file('endings'), chat: true },
  { task: file('sums'), chat: true, multiturn: true },
  { task: file('sums'), chat: true, num_fewshot: 1 },
]

const arc = (question: string, text: readonly string[], label: readonly string[], answerKey: string) => ({
  question,
  choices: { text, label },
  answerKey,
})
const letters = ['A', 'B', 'C', 'D']
const arcDocs = [
  arc('What melts ice?', ['heat', 'cold', 'dark', 'noise'], letters, 'A'),
  arc('Which is  a liquid?', ['iron', 'water', "a cat's tail", 'salt'], ['1', '2', '3', '4'], '2'),
  arc('What "glows" at night?', ['coal', 'a stone', 'the moon'], ['A', 'B', 'C'], 'C'),
]
const bookDocs = arcDocs.map(({ question, choices, answerKey }) => ({
  question_stem: question,
  choices,
  answerKey: ` ${answerKey}`.slice(answerKey === 'A' ? 0 : 1),
}))
const swag = (activity_label: string, ctx_a: string, ctx_b: string, endings: readonly string[], label: string) => ({
  activity_label,
  ctx_a,
  ctx_b,
  endings,
  label,
})
const swagDocs = [
  swag(
    'Roof shingle removal',
    'A man is sitting on a roof.',
    'he',
    ['is ripping up tiles.', 'sings.', ' waits.', 'falls [laughs] down.'],
    '0',
  ),
  swag(
    'Baking',
    '[header] How to bake [title] Mix flour. [step] Use  two eggs.',
    '',
    ['Stir. [substeps] Slowly.', 'Sleep.', 'ÉCOLE [x]', 'Go.'],
    '2',
  ),
  swag('Élan', 'She runs.', 'éric THEN stops', ['a', 'b', 'c', 'd'], '3'),
]
const blankDocs = [
  { sentence: 'The cup was in the box; the _ was open.', option1: 'cup', option2: 'box', answer: '2' },
  { sentence: "Anna's _  is red_blue .", option1: 'hat', option2: 'scarf', answer: '1' },
]
const sumDocs = [
  { question: 'Two and 2?', answer: '2 + 2 = <<2+2=4>>4\n#### 4' },
  { question: 'What is $1,000 less 1?', answer: '1000 - 1 = 999\n#### 999' },
  { question: 'Three dozens?', answer: '3 * 12 = 36\n#### 36' },
  { question: 'Half of 10?', answer: '10 / 2 = 5\n#### 5' },
]
const subjectDocs = ['one', 'two', 'three', 'four'].map((name, answer) => ({
  question: ` Where is bone ${name}? `,
  subject: 'anatomy',
  choices: ['arm', 'leg', 'head', `no ${name}`],
  answer,
}))

/** Tasks that are equal in effect to those of lm_eval's with the same name: what they ask is compared. */
export const shippedRuns = (): PeerRun[] => [
  { task: 'arc_easy', docs: { train: arcDocs, validation: arcDocs, test: arcDocs }, num_fewshot: 2 },
  { task: 'arc_challenge', docs: { train: arcDocs, validation: arcDocs, test: arcDocs }, num_fewshot: 0 },
  { task: 'openbookqa', docs: { train: bookDocs, validation: bookDocs, test: bookDocs }, num_fewshot: 1 },
  {
    task: 'piqa',
    docs: splits(
      ['train', 'validation'],
      [
        { goal: 'Open a jar', sol1: 'turn the lid', sol2: 'sing', label: 0 },
        { goal: 'Dry a cup', sol1: 'wet it', sol2: "use a towel's end", label: 1 },
      ],
    ),
    num_fewshot: 1,
  },
  {
    task: 'sciq',
    docs: splits(
      ['train', 'validation', 'test'],
      [
        {
          question: 'What is H2O?',
          distractor1: 'salt',
          distractor2: 'iron',
          distractor3: 'gold',
          correct_answer: 'water',
          support: ' Water is H2O. ',
        },
        {
          question: 'What barks?',
          distractor1: 'a cat',
          distractor2: 'a cow',
          distractor3: 'a hen',
          correct_answer: 'a dog',
          support: '',
        },
      ],
    ),
    num_fewshot: 1,
  },
  { task: 'hellaswag', docs: splits(['train', 'validation'], swagDocs), num_fewshot: 2 },
  { task: 'hellaswag', docs: splits(['train', 'validation'], swagDocs), num_fewshot: 0 },
  { task: 'winogrande', docs: splits(['train', 'validation'], blankDocs), num_fewshot: 1 },
  { task: 'gsm8k', docs: splits(['train', 'test'], sumDocs), num_fewshot: 3, seed: 3 },
  { task: 'mmlu_anatomy', docs: splits(['dev', 'test'], subjectDocs), num_fewshot: 3 },
  { task: 'mmlu_anatomy', docs: splits(['dev', 'test'], subjectDocs), num_fewshot: 0 },
]

function splits(names: readonly string[], docs: readonly Readonly<Record<string, unknown>>[]) {
  return Object.fromEntries(names.map((name) => [name, docs]))
}
