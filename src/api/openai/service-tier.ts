/** How a request is ranked, by OpenAI's names. */
export type ServiceTier = 'default' | 'flex' | 'priority';

/** `flex` can wait: all else goes first, and when much waits it is refused first. */
const PRIORITIES: Record<ServiceTier, number> = { priority: -100, default: 0, flex: 100 };

/** The tier that a request gets: the one that it asks for, `default` for `auto` and for names that say nothing here. */
export function tierOf(asked: string | null | undefined): ServiceTier {
  return asked === 'flex' || asked === 'priority' ? asked : 'default';
}

/** Lower runs earlier. Undefined where the request says nothing of it. */
export function priorityOf(body: {
  priority?: number | null | undefined;
  service_tier?: string | null | undefined;
}): number | undefined {
  return body.priority ?? (body.service_tier == null ? undefined : PRIORITIES[tierOf(body.service_tier)]);
}
