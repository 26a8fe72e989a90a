/** What userdb says of a user (auth's UserFields). */
export interface UserdbUser {
  readonly user: string;
  /** `home`, `mail`, `quota_rule`, ... */
  readonly fields: Readonly<Record<string, string>>;
}
