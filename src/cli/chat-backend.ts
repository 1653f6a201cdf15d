export interface ChatTurn {
  role: 'system' | 'user' | 'assistant';
  content: string;
}

export interface AnswerOptions {
  temperature: number;
  /** Left out: up to the model's length. */
  maxTokens?: number | undefined;
  /** Aborting it makes `answer` reject. */
  signal: AbortSignal;
  onText(text: string): void;
}

/** Where `quire chat` gets its answers from. */
export interface ChatBackend {
  readonly model: string;
  /** Streams the next turn of the assistant and resolves when it is complete. */
  answer(messages: readonly ChatTurn[], options: AnswerOptions): Promise<{ completionTokens: number }>;
  close(): Promise<void>;
}
