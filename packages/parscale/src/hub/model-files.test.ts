import { describe, expect, test } from 'vitest'
import { chooseFiles, matchesAny } from './model-files.ts'

const listed = (...paths: string[]) =>
  paths.map((path) => ({ path, metadata: { sizeBytes: 1, hash: { algorithm: 'sha256', hex: '0'.repeat(64) } as const } }))
const chosen = (paths: string[], include?: string[]) => chooseFiles(listed(...paths), 'a/b', include).map(({ path }) => path)

describe('without patterns', () => {
  test('configuration, tokenizer, card and safetensors of the top folder; small files first', () => {
    const index = 'model.safetensors.index.json'
    const shards = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors']
    const others = ['original/model.safetensors', 'consolidated.safetensors', 'model.gguf', 'onnx/model.onnx', '.gitattributes']
    expect(chosen([...shards, ...others, index, 'config.json', 'LICENSE.txt'])).toEqual([
      'config.json',
      'LICENSE.txt',
      index,
      ...shards,
    ])
  })

  test('what can run code is never pulled', () => {
    const running = ['pytorch_model.bin', 'modeling.py', 'run.sh', 'weights.pt', 'state.pkl', 'tf_model.h5']
    expect(chosen([...running, 'model.safetensors'])).toEqual(['model.safetensors'])
    expect(() => chosen(running, ['*'])).toThrow(/no file that matches "\*"/)
  })

  test('one GGUF model is taken in all its parts', () => {
    const parts = ['m-00001-of-00002.gguf', 'm-00002-of-00002.gguf']
    expect(chosen(parts)).toEqual(parts)
  })

  test('several GGUF models wait for a choice, named with their sizes', () => {
    expect(() => chosen(['m-Q4_0.gguf', 'm-Q8_0.gguf'])).toThrow(
      /expected one GGUF model, found 2; choose with --include.*m-Q4_0.gguf \(1 B\)/,
    )
  })

  test('no weights at all', () => {
    expect(() => chosen(['config.json', 'pytorch_model.bin'])).toThrow(/expected weights as \*.safetensors or \*.gguf/)
  })
})

describe('with patterns', () => {
  test('they choose the weights; the small files come anyway, an index only with its shards', () => {
    const all = ['config.json', 'model.safetensors.index.json', 'model-00001-of-00001.safetensors', 'm-Q4_0.gguf', 'm-Q8_0.gguf']
    expect(chosen(all, ['*Q8_0.gguf'])).toEqual(['config.json', 'm-Q8_0.gguf'])
    expect(chosen(all, ['*.safetensors'])).toEqual(all.slice(0, 3))
  })

  test('one that matches nothing is named, with what there is', () => {
    expect(() => chosen(['m-Q4_0.gguf'], ['*Q4_0.gguf', '*Q9.gguf'])).toThrow(/matches "\*Q9.gguf".*m-Q4_0.gguf/)
  })

  test.each([
    ['*.gguf', 'a/b.gguf', true],
    ['?.json', 'ab.json', false],
    ['a.b', 'axb', false],
    ['(a|b)+', 'a', false],
    ['**/*.gguf', 'a/b.gguf', true],
  ])('%s on %s: %s', (pattern, path, matches) => {
    expect(matchesAny([pattern], path)).toBe(matches)
  })
})
