export const environments: Readonly<Record<'onnx' | 'gguf' | 'transformers' | 'hub' | 'law', readonly string[]>>
export function pythonEnvironment(name: keyof typeof environments): string
