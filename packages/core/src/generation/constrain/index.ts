/** Constrained output: grammars for JSON, regular expressions, choices and tool calls, and masks of the tokens that follow them. */
export { choiceGrammar, jsonObjectGrammar, regexGrammar, type SchemaOptions, schemaGrammar } from './compile.ts'
export { type Grammar, GrammarConstraint, type GrammarOptions, type TokenConstraint, TokenGrammar } from './constraint.ts'
export { TokenVocabulary, type VocabularyOptions } from './machine/vocabulary.ts'
export { type Tool, type ToolForm, type ToolOptions, toolGrammar } from './tool-calls.ts'
