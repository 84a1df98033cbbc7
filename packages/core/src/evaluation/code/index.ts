/** Generated code: problems, samples, the code in an answer, verdicts and pass@k. What runs it is the caller's (parscale's sandbox). */
export { type CodeBenchmark, codeBenchmark, codeBenchmarks, codeRequest } from './benchmarks.ts'
export { exchangeSource } from './exchange.ts'
export { cutAtStop, type ExtractOptions, extractCode } from './extract.ts'
export { type Judgement, type Verdict, verdicts } from './judgement.ts'
export { type Estimate, estimatePassAtK, passAtK, type Tally } from './pass-at-k.ts'
export { type Problem, parseProblem, problemFrom } from './problems.ts'
export { type JudgedSample, parseSample, problemOf, programOf, type Sample } from './samples.ts'
