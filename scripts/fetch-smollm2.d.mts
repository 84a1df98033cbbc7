export function fetchSmolLM2(): Promise<string>
