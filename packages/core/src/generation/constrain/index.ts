/** Constrained output: grammars for JSON, regular expressions, choices and tool calls, and masks of the tokens that follow them. */
export {
  choiceGrammar,
  jsonObjectGrammar,
  regexGrammar,
  regexPieces,
  type SchemaOptions,
  schemaGrammar,
  schemaPieces,
} from './compile.ts'
export { type Grammar, GrammarConstraint, type GrammarOptions, type TokenConstraint, TokenGrammar } from './constraint.ts'
export type { Pieces } from './limits.ts'
export { TokenVocabulary, type VocabularyOptions, vocabularyPieces } from './machine/vocabulary.ts'
export { type Tool, type ToolForm, type ToolOptions, toolGrammar, toolPieces } from './tool-calls.ts'
export { inTurns } from './turns.ts'
