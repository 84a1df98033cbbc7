export const environments: Readonly<Record<'clients' | 'harness' | 'inspect' | 'litellm' | 'onnx' | 'gguf' | 'transformers' | 'torch' | 'hub' | 'law' | 'safetensors' | 'templates' | 'tensorboard' | 'tokenizers', readonly string[]>>
export function pythonEnvironment(name: keyof typeof environments): string
