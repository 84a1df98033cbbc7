it('refuses by name what it does not compute, and nothing else', () => {
  const refused = names.flatMap((name) => refusalOf(name, 'native') ?? [])
  for (const reason of refused) expect(reason).toMatch(/^the native step knows no .+, which \w+ models have$/)
  const norms = (family: string) => `the native step knows no norms behind attention and MLP, which ${family} models have`
  const partial = 'the native step knows no rotation of a part of each head, which phi3 models have'
  expect(new Set(refused)).toEqual(new Set([norms('gemma2'), norms('olmo2'), partial]))
})
