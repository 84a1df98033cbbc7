export const environments: Readonly<Record<'clients' | 'evaluation' | 'kubernetes' | 'evaluation' | 'harness' | 'inspect' | 'litellm' | 'onnx' | 'gguf' | 'transformers' | 'torch' | 'hub' | 'law' | 'safetensors' | 'schemathesis' | 'templates' | 'tensorboard' | 'tokenizers', readonly string[]>>
export function pythonEnvironment(name: keyof typeof environments): string
