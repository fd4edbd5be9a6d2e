-- The data of the education platform: users, courses, lessons, the progress of each user, and achievements.
CREATE TABLE users (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email text NOT NULL UNIQUE CHECK (email LIKE '%_@_%'),
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE courses (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slug text NOT NULL UNIQUE,
    title text NOT NULL,
    published_at timestamptz
);

CREATE TABLE lessons (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    course_id bigint NOT NULL REFERENCES courses ON DELETE CASCADE,
    position smallint NOT NULL CHECK (position > 0),
    title text NOT NULL,
    body text NOT NULL,
    UNIQUE (course_id, position)
);

CREATE TABLE progress (
    user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    lesson_id bigint NOT NULL REFERENCES lessons ON DELETE CASCADE,
    score smallint CHECK (score BETWEEN 0 AND 100),
    answers jsonb NOT NULL DEFAULT '{}',
    completed_at timestamptz,
    PRIMARY KEY (user_id, lesson_id)
);
-- Users that have completed a lesson, newest first
CREATE INDEX progress_by_lesson ON progress (lesson_id, completed_at DESC) WHERE completed_at IS NOT NULL;

CREATE TABLE achievements (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    course_id bigint NOT NULL REFERENCES courses ON DELETE CASCADE,
    earned_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, course_id)
);
